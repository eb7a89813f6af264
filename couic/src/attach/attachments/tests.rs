//! Attachments on a [`model`](super::model) of the kernel, under any sequence of events and after refused starts.

use std::rc::Rc;

use couic_netlink::{LinkLayer, OnInterface};
use proptest::prelude::*;

use super::{model::*, *};

fn kept(attachments: &Attachments<Fake>) -> Vec<Rc<FakeLink>> {
    attachments
        .links()
        .map(|(_, _, link)| Rc::clone(link))
        .collect()
}

use OperationMode::{Auto, Generic, Native, Tcx};

#[test]
fn the_next_start_takes_over_without_a_gap() {
    let fake = Fake::new(&[("eth0", true), ("lo", false), ("eth1", true)]);
    let mut first = fake.attachments(1, &["eth*", "lo"], Auto);
    first.attach_all(Vec::new()).unwrap();
    let pins = kept(&first);
    drop(first);
    assert_eq!(fake.programs(), [Some(1); 3], "it stays without a daemon");
    let mut second = fake.attachments(2, &["eth*", "lo"], Auto);
    let events = second.attach_all(pins).unwrap();
    assert_eq!(fake.programs(), [Some(2); 3]);
    assert!(fake.net.borrow().ports.iter().all(|p| p.bare == 0));
    let adopted = |event: &Event| {
        matches!(
            event,
            Event::Filtering {
                how: How::Adopted,
                ..
            }
        )
    };
    assert!(
        events.len() == 3 && events.iter().all(adopted),
        "{events:?}"
    );
}

#[test]
fn what_is_not_in_ifaces_any_more_is_taken_off() {
    let fake = Fake::new(&[("eth0", true), ("eth1", true)]);
    let mut first = fake.attachments(1, &["eth0", "eth1"], Auto);
    first.attach_all(Vec::new()).unwrap();
    let pins = kept(&first);
    drop(first);
    let mut second = fake.attachments(2, &["eth1"], Auto);
    second.attach_all(pins).unwrap();
    assert_eq!(fake.programs(), [None, Some(2)]);
}

#[test]
fn a_start_that_is_refused_leaves_the_old_one_as_it_was() {
    let refusals: [(&[&str], OperationMode); 3] = [
        (&["eth0", "nosuch"], Auto),
        (&["eth0", "taken"], Auto),
        // The driver of dumb0 has no native mode.
        (&["eth0", "dumb0"], Native),
    ];
    for (ifaces, mode) in refusals {
        let fake = Fake::new(&[("eth0", true), ("taken", true), ("dumb0", false)]).old();
        fake.occupy(2);
        let mut first = fake.attachments(1, &["eth0"], Auto);
        first.attach_all(Vec::new()).unwrap();
        let pins = kept(&first);
        drop(first);
        let mut second = fake.attachments(2, ifaces, mode);
        second.attach_all(kept_by(&pins)).unwrap_err();
        drop(second);
        assert_eq!(
            fake.programs(),
            [Some(1), Some(FOREIGN), None],
            "{ifaces:?}"
        );
        assert_eq!(fake.net.borrow().ports[0].bare, 0, "{ifaces:?}");
    }
}

fn kept_by(pins: &[Rc<FakeLink>]) -> Vec<Rc<FakeLink>> {
    pins.to_vec()
}

#[test]
fn the_first_swap_that_fails_is_a_refusal_a_later_one_is_tried_again() {
    let fake = Fake::new(&[("eth0", true), ("eth1", true)]);
    let mut first = fake.attachments(1, &["eth*"], Auto);
    first.attach_all(Vec::new()).unwrap();
    let pins = kept(&first);
    fake.net.borrow_mut().stubborn = Some(1);
    let mut second = fake.attachments(2, &["eth*"], Auto);
    second.attach_all(kept_by(&pins)).unwrap_err();
    assert_eq!(fake.programs(), [Some(1), Some(1)]);
    fake.net.borrow_mut().stubborn = Some(2);
    second.attach_all(kept_by(&pins)).unwrap();
    assert_eq!(fake.programs(), [Some(2), Some(1)]);
    let (states, _) = second.report().unwrap();
    assert!(states[0].problem.is_none() && states[1].problem.is_some());
    fake.net.borrow_mut().stubborn = None;
    second.check().unwrap();
    assert_eq!(fake.programs(), [Some(2), Some(2)]);
    assert!(second.report().unwrap().0[1].problem.is_none());
}

#[test]
fn a_mode_that_is_not_wanted_any_more_is_changed() {
    let fake = Fake::new(&[("eth0", true), ("dumb0", false)]);
    let mut first = fake.attachments(1, &["eth0", "dumb0"], Generic);
    first.attach_all(Vec::new()).unwrap();
    let pins = kept(&first);
    let mut second = fake.attachments(2, &["eth0"], Native);
    second.attach_all(kept_by(&pins)).unwrap();
    let on = |id, mode| Some((id, mode));
    let runs = |fake: &Fake| {
        let net = fake.net.borrow();
        net.runs().iter().map(|(_, on)| *on).collect::<Vec<_>>()
    };
    assert_eq!(runs(&fake), [on(2, XdpMode::Native), None]);
    // If the mode cannot be changed, the new rules hold in the old mode, and the start is refused.
    let mut third = fake.attachments(3, &["dumb0"], Generic);
    third.attach_all(Vec::new()).unwrap();
    let pins = kept(&third);
    let mut fourth = fake.attachments(4, &["dumb0"], Native);
    fourth.attach_all(pins).unwrap_err();
    assert_eq!(runs(&fake)[1], on(4, XdpMode::Generic));
    assert_eq!(fourth.links().count(), 1, "it is to be stored");
}

/// The stale list used to make TCX the mode: slower, and without a way back but a restart.
#[test]
fn a_program_detached_after_the_list_was_read_is_attached_in_its_mode_again() {
    let fake = Fake::new(&[("eth0", true), ("lo", false)]);
    let mut first = fake.attachments(1, &["eth0", "lo"], Auto);
    first.attach_all(Vec::new()).unwrap();
    let modes = || {
        let net = fake.net.borrow();
        let modes = net
            .runs()
            .into_iter()
            .map(|(_, on)| on.map(|(_, mode)| mode));
        modes.collect::<Vec<_>>()
    };
    let as_before = [Some(XdpMode::Native), Some(XdpMode::Generic)];
    assert_eq!(modes(), as_before);
    fake.net.borrow_mut().detached_after_list = true;
    first.check().unwrap();
    assert_eq!(modes(), as_before, "by a check");
    kept(&first)
        .iter()
        .for_each(|link| fake.detach(link).unwrap());
    let (states, _) = first.report().unwrap();
    let unexplained = |s: &InterfaceState| s.mode.is_none() && s.problem.is_none();
    assert!(
        states.iter().all(unexplained),
        "{states:?}: another check is requested"
    );
    first.check().unwrap();
    assert_eq!(modes(), as_before, "by that check");
    let pins = kept(&first);
    drop(first);
    let mut second = fake.attachments(2, &["eth0", "lo"], Auto);
    fake.net.borrow_mut().detached_after_list = true;
    second.attach_all(pins).unwrap();
    assert_eq!(modes(), as_before, "by a start");
}

#[test]
fn others_are_named_and_another_couic_as_such() {
    let fake = Fake::new(&[("eth0", true), ("eth1", true)]).old();
    fake.occupy(1);
    let mut other = fake.attachments(1, &["eth1"], Auto);
    other.attach_all(Vec::new()).unwrap();
    let told = |name| {
        let mut attachments = fake.attachments(2, &[name], Auto);
        attachments.attach_all(Vec::new()).unwrap_err().to_string()
    };
    assert!(told("eth0").contains("\"theirs\" (id 7000000), which is not Couic's"));
    assert!(told("eth1").contains("of another Couic (id 1)"));
    // A pattern is refused for none of its interfaces.
    let mut attachments = fake.attachments(2, &["eth*"], Auto);
    attachments.attach_all(Vec::new()).unwrap();
    let (states, _) = attachments.report().unwrap();
    assert!(
        states
            .iter()
            .all(|s| s.mode.is_none() && s.problem.is_some())
    );
}

#[test]
fn names_without_an_interface_and_idle_patterns_are_reported() {
    let fake = Fake::new(&[("eth0", true)]);
    let mut attachments = fake.attachments(1, &["eth0", "veth*"], Auto);
    attachments.attach_all(Vec::new()).unwrap();
    let (states, idle) = attachments.report().unwrap();
    assert!(states.len() == 1 && idle.len() == 1 && idle[0].contains("veth*"));
    fake.net.borrow_mut().ports.clear();
    let events = attachments.check().unwrap();
    assert!(matches!(&events[..], [Event::Detached { name, .. }] if name == "eth0"));
    let (states, _) = attachments.report().unwrap();
    assert_eq!(states[0].problem, Some(gone("eth0")));
    fake.net.borrow_mut().add("eth0", true);
    attachments.check().unwrap();
    assert_eq!(fake.programs(), [Some(1)]);
    assert!(matches!(
        &attachments.detach_all()[..],
        [Event::Detached { .. }]
    ));
    assert_eq!(fake.programs(), [None]);
}

#[derive(Clone, Debug)]
enum Happening {
    Comes(u8),
    Goes(u8),
    Renamed(u8, u8),
    Retyped(u8, LinkLayer),
    Occupied(u8),
    Freed(u8),
    Detached(u8),
    Restart,
}

fn name(n: u8) -> String {
    ["eth0", "eth1", "veth1", "veth2", "lo", "wan"][usize::from(n) % 6].to_owned()
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::{Comes, Detached, Freed, Goes, Occupied, Renamed, Restart, Retyped};
    let n = 0..6u8;
    let layer = prop::sample::select(vec![PLAIN, PLAIN, TUN, GRE, CAN]);
    prop_oneof![
        n.clone().prop_map(Comes),
        n.clone().prop_map(Goes),
        (n.clone(), n.clone()).prop_map(|(a, b)| Renamed(a, b)),
        (n.clone(), layer).prop_map(|(n, layer)| Retyped(n, layer)),
        n.clone().prop_map(Occupied),
        n.clone().prop_map(Freed),
        n.prop_map(Detached),
        Just(Restart),
    ]
}

/// Applies an event to the model. Foreign programs are attached by link 0.
fn happens(net: &mut Net, what: &Happening) {
    let exists = |net: &Net, n| net.ports.iter().any(|p| p.name == name(n));
    match *what {
        Happening::Comes(n) if !exists(net, n) => {
            net.add(&name(n), n % 2 == 0);
        }
        Happening::Goes(n) => net.ports.retain(|p| p.name != name(n)),
        Happening::Renamed(from, to) if !exists(net, to) => {
            let port = net.ports.iter_mut().find(|p| p.name == name(from));
            port.into_iter().for_each(|p| p.name = name(to));
        }
        Happening::Retyped(n, layer) => {
            let port = net.ports.iter_mut().find(|p| p.name == name(n));
            port.into_iter().for_each(|p| p.layer = layer);
        }
        Happening::Occupied(n) => {
            let port = net.ports.iter_mut().find(|p| p.name == name(n));
            let on = OnInterface {
                id: FOREIGN,
                mode: XdpMode::Generic,
            };
            for port in port.into_iter().filter(|p| p.on.is_none()) {
                port.on = Some((on, 0));
            }
        }
        Happening::Freed(n) | Happening::Detached(n) => {
            let port = net.ports.iter_mut().find(|p| p.name == name(n));
            let foreign = matches!(what, Happening::Freed(_));
            for port in port.into_iter() {
                if port.on.is_some_and(|(_, by)| (by == 0) == foreign) {
                    port.on = None;
                }
                if !foreign {
                    port.tcx.clear();
                }
            }
        }
        _ => {}
    }
}

/// The program that a port in `ifaces` must run: the one for its link layer.
fn expected(port: &Port, fake: &Fake, program: u32) -> Vec<u32> {
    let foreign = port.on.is_some_and(|(_, by)| by == 0);
    let by_xdp = !foreign && matches!(port.layer, PLAIN | TUN);
    match port.layer {
        CAN => Vec::new(),
        _ if port.ours() == [program + TCX] && fake.has_tcx => vec![program + TCX],
        PLAIN if by_xdp => vec![program],
        TUN if by_xdp && (!fake.has_tcx || port.on.is_some()) => vec![program + IP],
        _ if fake.has_tcx => vec![program + TCX],
        _ => Vec::new(),
    }
}

proptest! {
    #[test]
    fn whatever_happens_a_check_makes_it_right(
        has_tcx: bool,
        all in prop::collection::vec((happening(), any::<bool>()), 1..60),
    ) {
        let mut fake = Fake::new(&[("eth0", true)]);
        fake.has_tcx = has_tcx;
        let ifaces = ["eth0", "veth*", "lo"];
        let meant = |name: &str| name == "eth0" || name.starts_with("veth") || name == "lo";
        let mut program = 1;
        // With patterns only, every start succeeds.
        let mut attachments = fake.attachments(program, &["eth?", "veth*"], Auto);
        attachments.attach_all(Vec::new()).unwrap();
        let mut attachments = {
            let pins = kept(&attachments);
            drop(attachments);
            program += 1;
            let mut attachments = fake.attachments(program, &ifaces, Auto);
            // lo is missing.
            prop_assert!(attachments.attach_all(kept_by(&pins)).is_err());
            fake.net.borrow_mut().add("lo", false);
            attachments.attach_all(pins).unwrap();
            attachments
        };
        for (what, look) in all {
            if let Happening::Restart = what {
                let pins = kept(&attachments);
                drop(attachments);
                program += 1;
                attachments = fake.attachments(program, &ifaces, Auto);
                // Only a change of type leads from one mode of XDP to another, which has a gap.
                let native = |p: &Port| p.on.is_some_and(|(on, _)| on.mode == XdpMode::Native);
                let ports = fake.net.borrow().ports.clone();
                let changing = |name: &str| {
                    ports.iter().any(|p| p.name == name && p.layer != PLAIN && native(p))
                };
                let bare = |fake: &Fake| -> usize {
                    let net = fake.net.borrow();
                    let meant = net.ports.iter().filter(|p| meant(&p.name) && !changing(&p.name));
                    meant.map(|p| p.bare).sum()
                };
                let before = bare(&fake);
                if attachments.attach_all(kept_by(&pins)).is_err() {
                    // A named interface is missing, occupied or unsupported: the old program stays.
                    program -= 1;
                    attachments = fake.attachments(program, &ifaces, Auto);
                    attachments.attached = attached_from(&fake, pins);
                }
                prop_assert_eq!(bare(&fake), before, "no wanted interface was bare");
            } else {
                happens(&mut fake.net.borrow_mut(), &what);
            }
            if !look {
                continue;
            }
            attachments.check().unwrap();
            prop_assert!(!attachments.has_lost());
            for port in &fake.net.borrow().ports {
                let expected = match meant(&port.name) {
                    true => expected(port, &fake, program),
                    false => Vec::new(),
                };
                prop_assert_eq!(port.ours(), expected, "{:?}", port);
            }
        }
    }
}

fn attached_from(fake: &Fake, pins: Vec<Rc<FakeLink>>) -> BTreeMap<u32, Attachment<Rc<FakeLink>>> {
    let held = pins.into_iter().filter_map(|link| {
        let index = fake.info(&link).ok()?.index;
        let held = Attachment {
            name: String::new(),
            hook: link.hook,
            link,
        };
        (index != 0).then_some((index, held))
    });
    held.collect()
}

#[path = "tcx_tests.rs"]
mod tcx;
