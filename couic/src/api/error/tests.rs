//! Statuses and messages.

use std::io;

use couic_common::Policy;

use super::*;
use couic_firewall::dataplane::PlaneError;

#[test]
fn internal_errors_reveal_nothing_to_the_client() {
    let source = io::Error::other("secret path");
    let kernel = PlaneError::Kernel {
        table: "secret table",
        source,
    };
    let fault = Fault::from(FirewallError::from(kernel));
    assert_eq!(fault.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(fault.body.code, ErrorCode::Internal);
    assert!(!format!("{:?}", fault.body).contains("secret"));
}

#[test]
fn a_full_disk_is_named_without_its_path() {
    let full = |kind| {
        let path = "/secret/path".into();
        let source = io::Error::from(kind);
        Fault::from(SetError::Io { path, source }).body.message
    };
    assert!(full(io::ErrorKind::StorageFull).contains("disk of the daemon is full"));
    assert!(full(io::ErrorKind::TimedOut).contains("its log says why"));
    assert!(!full(io::ErrorKind::StorageFull).contains("secret"));
}

#[test]
fn unprocessable_changes_bad_requests_only() {
    assert_eq!(Fault::bad_request("x").unprocessable().status.as_u16(), 422);
    assert_eq!(Fault::not_found("x").unprocessable().status.as_u16(), 404);
    let policy = Policy::Drop;
    let full = FirewallError::Full {
        policy,
        family: "IPv4",
        limit: 1,
    };
    assert_eq!(Fault::from(full).body.code, ErrorCode::Processing);
}
