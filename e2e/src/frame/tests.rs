//! Headers, encapsulations and labels, byte by byte.

use super::*;

#[test]
fn headers_are_at_their_offsets() {
    let frame = Frame::v4("198.51.100.7")
        .vlan(ETH_P_8021AD, 5)
        .vlan(ETH_P_8021Q, 6)
        .bytes(1, 2);
    assert_eq!(frame[12..22], [0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0]);
    assert_eq!(frame[34..38], [198, 51, 100, 7]);
    assert_eq!(find_label(&frame), Some((1, 2)));
    // The IPv4 header's sum over itself, checksum included, is zero by definition.
    assert_eq!(checksum(&frame[22..42]), 0);
    let v6 = Frame::v6("2001:db8::7").padded(100);
    assert_eq!(v6.len(), 14 + 40 + 8 + 16 + 100);
    assert_eq!(v6.bytes(0, 0)[22..24], [0x20, 1]);
}

#[test]
fn encapsulation_is_between_ethernet_and_ip() {
    let session = Frame::v6("2001:db8::7").pppoe().bytes(0, 0);
    assert_eq!(session[12..22], [0x88, 0x64, 0x11, 0, 0, 7, 0, 66, 0, 0x57]);
    assert_eq!(session[22], 0x60);
    let labelled = Frame::v4("198.51.100.7").mpls(2).bytes(0, 0);
    assert_eq!(
        labelled[12..22],
        [0x88, 0x47, 0, 1, 0x60, 64, 0, 1, 0x61, 64]
    );
    assert_eq!(labelled[22], 0x45);
}

#[test]
fn labels_are_found_or_not() {
    assert_eq!(find_label(&sync_frame(7, 9)), Some((7, 9)));
    assert_eq!(sync_frame(0, 0).len() as u64, SYNC_FRAME_LEN);
    assert_eq!(find_label(b"couic-e2 cut"), None);
    assert_eq!(find_label(&Frame::raw(0x800, &[0x45]).bytes(1, 1)), None);
}
