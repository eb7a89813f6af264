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
# Once per test.
/^skipped: / && test != "" { passed--; skipped++; why[++n] = test ": " substr($0, 10); test = "" }
END {
  for (i = 1; i <= n; i++) print "skipped " why[i]
  if (status != 0 && failed == 0) print "cargo test failed outside of a test, exit code " status ": see above"
  printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
  exit (status != 0 || failed > 0)
}
