# Sums the results of all test binaries of one `cargo test -- --show-output` run. status is cargo's exit code.
/^test result: / {
  for (i = 1; i < NF; i++) {
    if ($(i + 1) ~ /^passed/) passed += $i
    if ($(i + 1) ~ /^failed/) failed += $i
    if ($(i + 1) ~ /^ignored/) skipped += $i
  }
  test = ""
}
/^---- .* stdout ----$/ { test = $2 }
# Named in the last lines too: who reads them may not have the rest of the log.
/^test .* \.\.\. FAILED$/ { failures[++f] = $2 }
test != "" { said[test] = substr(said[test] $0 "\n", 1, 4000) }
# Once per test.
/^skipped: / && test != "" { passed--; skipped++; why[++n] = test ": " substr($0, 10); test = "" }
END {
  for (i = 1; i <= n; i++) print "skipped " why[i]
  for (i = 1; i <= f; i++) print "failed " failures[i] "\n" said[failures[i]]
  if (status != 0 && failed == 0) print "cargo test failed outside of a test, exit code " status ": see above"
  printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
  exit (status != 0 || failed > 0)
}
