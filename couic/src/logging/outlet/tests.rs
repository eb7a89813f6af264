//! Sinks that block, fail or fill up.

use std::sync::mpsc;

use super::*;

/// Passes each write to the test, and blocks until it is received.
struct Slow(mpsc::SyncSender<Vec<u8>>);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .send(bytes.to_vec())
            .map_err(|_| io::Error::other("gone"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The number of lines reported as lost.
fn lost(text: &[u8]) -> usize {
    let text = String::from_utf8_lossy(text);
    let told = text
        .lines()
        .filter_map(|l| l.split_once(" log lines were lost here"));
    told.map(|(head, _)| head.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
        .sum()
}

#[test]
fn a_stuck_sink_blocks_no_logging_and_lost_lines_are_counted() {
    let (sender, written) = mpsc::sync_channel(0);
    let outlet = Outlet::start("test", Slow(sender), |lost| lost_message(lost) + "\n").unwrap();
    let line = "#".repeat(1023) + "\n";
    let pushed = 5_000;
    for _ in 0..pushed {
        outlet.push(line.as_bytes(), 1, Duration::ZERO);
    }
    outlet.close(Duration::from_millis(1));
    let all: Vec<u8> = written.iter().flatten().collect();
    let kept = all.iter().filter(|b| **b == b'#').count() / 1023;
    assert_eq!(kept + lost(&all), pushed);
    assert!((1024..=(2 << 10) + 513).contains(&kept), "bounded: {kept}");
}

#[test]
fn with_a_long_timeout_nothing_is_lost() {
    let (sender, written) = mpsc::sync_channel(0);
    let outlet = Outlet::start("test", Slow(sender), |lost| lost_message(lost) + "\n").unwrap();
    let reader = thread::spawn(move || written.iter().map(|w| w.len()).sum::<usize>());
    for _ in 0..5_000 {
        outlet.push(&[b'x'; 1024], 1, Duration::from_secs(30));
    }
    outlet.close(Duration::from_secs(30));
    drop(outlet);
    assert_eq!(reader.join().unwrap(), 5_000 * 1024);
}

#[test]
fn lines_lost_on_a_full_disk_are_reported_when_it_works_again() {
    struct Full(u32, mpsc::Sender<Vec<u8>>);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0 == 1 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.1.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (sender, written) = mpsc::channel();
    let outlet = Outlet::start("test", Full(0, sender), |lost| lost_message(lost) + "\n").unwrap();
    outlet.push(b"one\ntwo\n", 2, Duration::ZERO);
    while !outlet.0.state.lock().waiting {
        thread::yield_now();
    }
    outlet.push(b"three\n", 1, Duration::ZERO);
    outlet.close(Duration::from_secs(30));
    let all: Vec<Vec<u8>> = written.iter().collect();
    assert_eq!(all.len(), 2);
    assert_eq!((lost(&all[0]), &all[1][..]), (2, &b"three\n"[..]));
}

#[test]
fn a_line_torn_by_a_full_disk_ends_before_the_next() {
    struct Filling(usize, mpsc::Sender<Vec<u8>>);
    impl Write for Filling {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            if taken == 0 {
                // Space is freed.
                self.0 = 1 << 20;
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0 -= taken;
            self.1.send(bytes[..taken].to_vec()).unwrap();
            Ok(taken)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (sender, written) = mpsc::channel();
    let outlet =
        Outlet::start("test", Filling(6, sender), |lost| lost_message(lost) + "\n").unwrap();
    outlet.push(b"one\ntwo\nthree\n", 3, Duration::ZERO);
    while !outlet.0.state.lock().waiting {
        thread::yield_now();
    }
    outlet.push(b"four\n", 1, Duration::ZERO);
    outlet.close(Duration::from_secs(30));
    let all: Vec<u8> = written.iter().flatten().collect();
    assert_eq!(lost(&all), 2, "of three, one was written completely");
    assert!(all.starts_with(b"one\ntw\n") && all.ends_with(b"\nfour\n"));
}
