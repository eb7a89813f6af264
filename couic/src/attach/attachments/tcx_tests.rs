//! TCX, beside other programs and on links without an Ethernet header.

use super::*;

fn mode_of(attachments: &Attachments<Fake>, nth: usize) -> Option<XdpMode> {
    attachments.report().unwrap().0[nth].mode
}

fn refusal(fake: &Fake, name: &str, mode: OperationMode) -> String {
    let mut attachments = fake.attachments(1, &[name], mode);
    attachments.attach_all(Vec::new()).unwrap_err().to_string()
}

#[test]
fn auto_goes_beside_a_foreign_program_and_leaves_it_alone() {
    let fake = Fake::new(&[("eth0", true), ("eth1", true)]);
    fake.occupy(2);
    let mut attachments = fake.attachments(1, &["eth*"], Auto);
    attachments.attach_all(Vec::new()).unwrap();
    assert_eq!(fake.programs(), [Some(1), Some(FOREIGN)]);
    assert_eq!(fake.ours(), [vec![1], vec![1 + TCX]]);
    let (states, _) = attachments.report().unwrap();
    assert_eq!(states[0].note, None);
    assert_eq!(states[1].mode, Some(XdpMode::Tcx));
    let note = states[1].note.clone().unwrap();
    assert!(note.contains("\"theirs\" (id 7000000)"), "{note}");
    // A foreign program attached while ours is detached gets ours beside it, too.
    let links = kept(&attachments);
    fake.detach(&links[0]).unwrap();
    fake.occupy(1);
    attachments.check().unwrap();
    assert_eq!(fake.ours(), [vec![1 + TCX], vec![1 + TCX]]);
}

#[test]
fn auto_goes_beside_no_program_whose_name_cannot_be_asked_for() {
    let fake = Fake::new(&[("eth0", true)]);
    fake.occupy(1);
    fake.net.borrow_mut().nameless = true;
    let told = refusal(&fake, "eth0", Auto);
    assert!(told.contains("may be a filter of couic's own"), "{told}");
    assert!(fake.ours()[0].is_empty());
    let mut asked = fake.attachments(1, &["eth0"], Tcx);
    asked.attach_all(Vec::new()).unwrap();
    assert_eq!(fake.ours(), [vec![1 + TCX]]);
}

#[test]
fn where_xdp_is_asked_for_a_foreign_program_is_a_refusal_that_names_what_works() {
    let fake = Fake::new(&[("eth0", true)]);
    fake.occupy(1);
    let way = "operation_mode = \"auto\" or \"tcx\"";
    for mode in [Native, Generic] {
        let told = refusal(&fake, "eth0", mode);
        assert!(told.contains("\"theirs\"") && told.contains(way), "{told}");
        let told = refusal(&fake.clone().old(), "eth0", mode);
        assert!(told.contains("\"theirs\"") && !told.contains(way), "{told}");
    }
    let told = refusal(&fake.clone().old(), "eth0", Auto);
    assert!(told.contains("\"theirs\"") && !told.contains(way), "{told}");
    let told = refusal(&fake.clone().old(), "eth0", Tcx);
    assert!(told.contains("needs Linux 6.6"), "{told}");
    assert!(fake.ours()[0].is_empty());
}

#[test]
fn the_next_start_takes_over_links_of_tcx_and_auto_keeps_what_it_found() {
    let fake = Fake::new(&[("eth0", true), ("eth1", true)]);
    fake.occupy(1);
    let mut first = fake.attachments(1, &["eth*"], Auto);
    first.attach_all(Vec::new()).unwrap();
    let pins = kept(&first);
    drop(first);
    fake.net.borrow_mut().ports[0].on = None;
    let mut second = fake.attachments(2, &["eth*"], Auto);
    let events = second.attach_all(pins).unwrap();
    assert_eq!(fake.ours(), [vec![2 + TCX], vec![2]]);
    assert_eq!(fake.bare(), 0);
    let adopted = |event: &Event| {
        matches!(
            event,
            Event::Filtering {
                how: How::Adopted,
                ..
            }
        )
    };
    assert!(events.iter().all(adopted), "{events:?}");
    let note = second.report().unwrap().0[0].note.clone().unwrap();
    assert!(note.contains("when it was attached"), "{note}");
}

#[test]
fn between_xdp_and_tcx_there_is_no_gap() {
    let fake = Fake::new(&[("eth0", true)]);
    let mut attachments = fake.attachments(1, &["eth0"], Native);
    attachments.attach_all(Vec::new()).unwrap();
    let changes = [(Tcx, TCX), (Native, 0), (Tcx, TCX), (Generic, 0)];
    for (program, (mode, role)) in (2..).zip(changes) {
        let pins = kept(&attachments);
        attachments = fake.attachments(program, &["eth0"], mode);
        let events = attachments.attach_all(pins).unwrap();
        assert_eq!(fake.ours(), [vec![program + role]], "{mode}");
        assert_eq!(fake.bare(), 0, "{mode}");
        let left = matches!(
            &events[..],
            [Event::Filtering { .. }, Event::Detached { .. }]
        );
        assert!(left, "{events:?}");
    }
}

#[test]
fn a_change_to_xdp_that_fails_leaves_everything_as_it_was() {
    let fake = Fake::new(&[("dumb0", false)]);
    let mut first = fake.attachments(1, &["dumb0"], Tcx);
    first.attach_all(Vec::new()).unwrap();
    let pins = kept(&first);
    drop(first);
    let mut second = fake.attachments(2, &["dumb0"], Native);
    second.attach_all(kept_by(&pins)).unwrap_err();
    drop(second);
    assert_eq!(fake.ours(), [vec![1 + TCX]]);
    assert_eq!(fake.bare(), 0);
}

#[test]
fn of_two_links_that_were_kept_one_stays() {
    let fake = Fake::new(&[("eth0", true)]);
    let link = |mode, role| {
        Fake {
            program: 1,
            ..fake.clone()
        }
        .attach(1, mode, role)
        .unwrap()
    };
    let pins = vec![
        link(XdpMode::Tcx, Role::Tcx),
        link(XdpMode::Native, Role::Ethernet),
    ];
    let mut attachments = fake.attachments(2, &["eth0"], Auto);
    attachments.attach_all(kept_by(&pins)).unwrap();
    assert_eq!(fake.ours(), [vec![2]]);
    assert_eq!(fake.bare(), 0);
}

#[test]
fn a_link_without_ethernet_header_gets_the_program_for_it() {
    let fake = Fake::new(&[("tun0", false), ("gre1", false)]);
    fake.retype(1, TUN);
    fake.retype(2, GRE);
    let mut attachments = fake.attachments(1, &["tun0", "gre1"], Auto);
    attachments.attach_all(Vec::new()).unwrap();
    assert_eq!(fake.ours(), [vec![1 + TCX], vec![1 + TCX]]);
    assert_eq!(mode_of(&attachments, 0), Some(XdpMode::Tcx));
    drop(attachments);
    let old = fake.old();
    let mut attachments = old.attachments(2, &["tun0"], Auto);
    attachments.attach_all(Vec::new()).unwrap();
    assert_eq!(old.ours(), [vec![2 + IP], vec![]]);
    let (states, _) = attachments.report().unwrap();
    assert_eq!(states[0].mode, Some(XdpMode::Generic));
    assert!(
        states[0]
            .note
            .clone()
            .unwrap()
            .contains("no Ethernet header")
    );
    for mode in [Auto, Generic] {
        let told = refusal(&old, "gre1", mode);
        assert!(told.contains("needs Linux 6.6"), "{told}");
    }
    let told = refusal(&old, "tun0", Native);
    assert!(told.contains("set operation_mode = \"auto\""), "{told}");
}

/// Earlier versions attached the program for Ethernet there.
#[test]
fn the_wrong_program_of_an_earlier_version_is_replaced() {
    for (has_tcx, layer, expected) in [(true, TUN, IP), (true, GRE, TCX), (false, TUN, IP)] {
        let mut fake = Fake::new(&[("tun0", false)]);
        fake.has_tcx = has_tcx;
        fake.retype(1, layer);
        let before = Fake {
            program: 1,
            ..fake.clone()
        };
        let link = before.attach(1, XdpMode::Generic, Role::Ethernet).unwrap();
        let mut attachments = fake.attachments(2, &["tun0"], Auto);
        attachments.attach_all(vec![link]).unwrap();
        assert_eq!(fake.ours(), [vec![2 + expected]], "{has_tcx} {layer:?}");
    }
}

#[test]
fn an_unsupported_link_layer_is_refused_by_name_and_skipped_under_a_pattern() {
    let fake = Fake::new(&[("can0", false), ("eth0", true)]);
    fake.retype(1, CAN);
    for mode in [Auto, Native, Generic, Tcx] {
        let told = refusal(&fake, "can0", mode);
        assert!(
            told.contains("interface can0") && told.contains("CAN (link type 280)"),
            "{told}"
        );
    }
    let mut attachments = fake.attachments(1, &["*", "can*"], Auto);
    assert_eq!(attachments.attach_all(Vec::new()).unwrap().len(), 1);
    assert_eq!(fake.ours(), [vec![], vec![1]]);
    let (states, problems) = attachments.report().unwrap();
    assert!(states.len() == 1 && states[0].name == "eth0", "{states:?}");
    assert!(
        problems.len() == 1 && problems[0].contains("can0 matches * in ifaces and is NOT filtered"),
        "{problems:?}"
    );
    assert_eq!(attachments.check().unwrap(), []);
}

#[test]
fn an_interface_whose_type_changes_never_runs_the_wrong_program() {
    let fake = Fake::new(&[("x0", false), ("eth0", true)]);
    let mut attachments = fake.attachments(1, &["x0", "eth*"], Auto);
    attachments.attach_all(Vec::new()).unwrap();
    let mut at = |layer, nth: usize, expected: &[u32]| {
        fake.retype(u32::try_from(nth + 1).unwrap(), layer);
        let events = attachments.check().unwrap();
        assert_eq!(fake.ours()[nth], expected, "{layer:?}");
        assert_eq!(
            attachments.check().unwrap(),
            [],
            "once is enough: {events:?}"
        );
        let (states, problems) = attachments.report().unwrap();
        let state = states
            .into_iter()
            .find(|s| s.index == u32::try_from(nth + 1).unwrap());
        (state.and_then(|s| s.problem), problems.len())
    };
    // Generic XDP stays generic, with the program for the new type.
    assert_eq!(at(TUN, 0, &[1 + IP]), (None, 0));
    assert_eq!(at(GRE, 0, &[1 + TCX]), (None, 0));
    let (problem, _) = at(CAN, 0, &[]);
    assert!(problem.unwrap().contains("CAN"), "it is named");
    assert_eq!(at(PLAIN, 0, &[1]), (None, 0));
    // Likewise under a pattern.
    assert_eq!(at(TUN, 1, &[1 + TCX]), (None, 0));
    assert_eq!(at(CAN, 1, &[]), (None, 1));
    assert_eq!(at(PLAIN, 1, &[1]), (None, 0));
    // Native mode becomes impossible, and without TCX generic replaces it.
    let old = Fake::new(&[("eth0", true)]).old();
    let mut attachments = old.attachments(1, &["eth0"], Auto);
    attachments.attach_all(Vec::new()).unwrap();
    old.retype(1, TUN);
    attachments.check().unwrap();
    assert_eq!(old.ours(), [vec![1 + IP]]);
}

#[test]
fn a_link_of_tcx_that_is_detached_is_missed_and_put_back() {
    let fake = Fake::new(&[("eth0", true)]);
    let mut attachments = fake.attachments(1, &["eth0"], Tcx);
    attachments.attach_all(Vec::new()).unwrap();
    assert!(!attachments.has_lost());
    fake.detach(&kept(&attachments)[0]).unwrap();
    assert!(attachments.has_lost());
    assert_eq!(mode_of(&attachments, 0), None);
    let events = attachments.check().unwrap();
    assert!(
        matches!(
            &events[..],
            [Event::Filtering {
                how: How::Reattached,
                mode: XdpMode::Tcx,
                ..
            }]
        ),
        "{events:?}"
    );
    assert!(!attachments.has_lost());
    fake.net.borrow_mut().ports.clear();
    assert!(attachments.has_lost());
    attachments.check().unwrap();
    assert!(!attachments.has_lost());
}

#[test]
fn another_couic_is_refused_wherever_its_program_is() {
    let fake = Fake::new(&[("eth0", true), ("eth1", true)]);
    let mut other = fake.attachments(1, &["eth0"], Tcx);
    other.attach_all(Vec::new()).unwrap();
    let mut third = fake.attachments(2, &["eth1"], Native);
    third.attach_all(Vec::new()).unwrap();
    for mode in [Auto, Native, Tcx] {
        for (name, id) in [("eth0", 1 + TCX), ("eth1", 2)] {
            let mut attachments = fake.attachments(3, &[name], mode);
            let told = attachments.attach_all(Vec::new()).unwrap_err().to_string();
            let expected = format!("of another Couic (id {id})");
            assert!(told.contains(&expected), "{mode} {name} {told}");
        }
    }
    assert_eq!(fake.ours(), [vec![1 + TCX], vec![2]]);
}
