//! The wall on a model of the kernel: what any sequence of events leads to, and what refused starts leave behind.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
};

use proptest::prelude::*;

use super::*;
use crate::dataplane::LinkInfo;

const OURS: u32 = 100;
const FOREIGN: u32 = 7_000_000;

/// By how much the number of a program for another role differs from that for Ethernet.
const IP: u32 = 1_000_000;
const TCX: u32 = 2_000_000;
const PLAIN: LinkLayer = LinkLayer::Ethernet;
const TUN: LinkLayer = LinkLayer::Ip { generic: true };
const GRE: LinkLayer = LinkLayer::Ip { generic: false };
const CAN: LinkLayer = LinkLayer::Other(280);

#[derive(Clone, Debug)]
struct Port {
    index: u32,
    name: String,
    /// Whether the driver knows XDP.
    native: bool,
    layer: LinkLayer,
    on: Option<(OnInterface, u32)>,
    /// Programs and links.
    tcx: Vec<(u32, u32)>,
    /// How often nothing was attached where something had been that read packets rightly.
    bare: usize,
}

impl Port {
    /// Whether a program of ours reads the packets here rightly.
    fn suits(&self, program: u32) -> bool {
        match self.layer {
            LinkLayer::Ethernet => !(IP..TCX).contains(&program),
            LinkLayer::Ip { generic } => program >= TCX || (program >= IP && generic),
            LinkLayer::Other(_) => false,
        }
    }

    /// Programs that are attached, but for those of others.
    fn ours(&self) -> Vec<u32> {
        let tcx = self.tcx.iter().map(|(id, _)| *id);
        let on = self.on.map(|(on, _)| on.id);
        tcx.chain(on).filter(|id| *id < FOREIGN).collect()
    }
}

#[derive(Debug, Default)]
struct Net {
    ports: Vec<Port>,
    next: u32,
    /// An interface on which no link takes another program.
    stubborn: Option<u32>,
    /// Whether the kernel tells no names of programs.
    nameless: bool,
}

impl Net {
    fn port(&mut self, index: u32) -> Option<&mut Port> {
        self.ports.iter_mut().find(|p| p.index == index)
    }

    fn add(&mut self, name: &str, native: bool) -> u32 {
        self.next += 1;
        self.ports.push(Port {
            index: self.next,
            name: name.to_owned(),
            native,
            layer: PLAIN,
            on: None,
            tcx: Vec::new(),
            bare: 0,
        });
        self.next
    }

    fn take_off(&mut self, link: u32) {
        for port in &mut self.ports {
            let before = port.ours();
            port.on = port.on.filter(|(_, by)| *by != link);
            port.tcx.retain(|(_, by)| *by != link);
            let was_right = before.iter().any(|id| port.suits(*id));
            if was_right && port.ours().is_empty() {
                port.bare += 1;
            }
        }
    }

    fn runs(&self) -> Vec<(&str, Option<(u32, XdpMode)>)> {
        let run = |p: &'_ Port| p.on.map(|(on, _)| (on.id, on.mode));
        self.ports
            .iter()
            .map(|p| (p.name.as_str(), run(p)))
            .collect()
    }
}

/// Goes when its last holder does.
#[derive(Debug)]
struct FakeLink {
    id: u32,
    hook: Hook,
    net: Weak<RefCell<Net>>,
}

impl Drop for FakeLink {
    fn drop(&mut self) {
        if let Some(net) = self.net.upgrade() {
            net.borrow_mut().take_off(self.id);
        }
    }
}

#[derive(Clone, Debug)]
struct Fake {
    net: Rc<RefCell<Net>>,
    program: u32,
    /// Linux 6.6.
    has_tcx: bool,
}

impl Fake {
    fn new(ports: &[(&str, bool)]) -> Self {
        let net = Rc::new(RefCell::new(Net::default()));
        for (name, native) in ports {
            net.borrow_mut().add(name, *native);
        }
        Self {
            net,
            program: OURS,
            has_tcx: true,
        }
    }

    fn old(self) -> Self {
        Self {
            has_tcx: false,
            ..self
        }
    }

    fn wall(&self, program: u32, ifaces: &[&str], mode: OperationMode) -> Wall<Self> {
        let patterns = ifaces.iter().map(|text| Pattern::new(text)).collect();
        let fake = Self {
            program,
            ..self.clone()
        };
        Wall::new(fake, patterns, mode)
    }

    /// What each interface runs by XDP, in order.
    fn programs(&self) -> Vec<Option<u32>> {
        let net = self.net.borrow();
        net.runs()
            .iter()
            .map(|(_, on)| on.map(|(id, _)| id))
            .collect()
    }

    /// What each interface runs of ours, in order.
    fn ours(&self) -> Vec<Vec<u32>> {
        self.net.borrow().ports.iter().map(Port::ours).collect()
    }

    fn bare(&self) -> usize {
        self.net.borrow().ports.iter().map(|p| p.bare).sum()
    }

    fn occupy(&self, index: u32) {
        let on = OnInterface {
            id: FOREIGN,
            mode: XdpMode::Native,
        };
        if let Some(port) = self.net.borrow_mut().port(index) {
            port.on = Some((on, 0));
        }
    }

    fn retype(&self, index: u32, layer: LinkLayer) {
        if let Some(port) = self.net.borrow_mut().port(index) {
            port.layer = layer;
        }
    }
}

impl Kernel for Fake {
    type Link = Rc<FakeLink>;

    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        let ports = self.net.borrow().ports.clone();
        let shown = ports.into_iter().map(|port| Interface {
            index: port.index,
            loopback: port.name == "lo",
            name: port.name,
            layer: port.layer,
            xdp: port.on.map(|(on, _)| on),
        });
        Ok(shown.collect())
    }

    fn attach(&self, index: u32, mode: XdpMode, role: Role) -> io::Result<Self::Link> {
        let hook = Hook::from(mode);
        let program = self.program(role).ok_or(io::ErrorKind::InvalidInput)?;
        assert_eq!(hook == Hook::Tcx, role == Role::Tcx);
        let mut net = self.net.borrow_mut();
        net.next += 1;
        let id = net.next;
        let port = net.port(index).ok_or(io::ErrorKind::NotFound)?;
        if hook == Hook::Tcx {
            port.tcx.insert(0, (program, id));
        } else if port.on.is_some() {
            return Err(io::ErrorKind::ResourceBusy.into());
        } else if mode == XdpMode::Offloaded || (mode == XdpMode::Native && !port.native) {
            return Err(io::ErrorKind::Unsupported.into());
        } else {
            port.on = Some((OnInterface { id: program, mode }, id));
        }
        drop(net);
        let net = Rc::downgrade(&self.net);
        Ok(Rc::new(FakeLink { id, hook, net }))
    }

    fn swap(&self, link: &Self::Link, role: Role) -> io::Result<()> {
        let program = self.program(role).ok_or(io::ErrorKind::InvalidInput)?;
        let index = self.info(link)?.index;
        let mut net = self.net.borrow_mut();
        if net.stubborn == Some(index) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let port = net.port(index).ok_or(io::ErrorKind::NotConnected)?;
        match (link.hook, &mut port.on) {
            (Hook::Xdp, Some((on, _))) => on.id = program,
            _ => {
                for (id, _) in port.tcx.iter_mut().filter(|(_, by)| *by == link.id) {
                    *id = program;
                }
            }
        }
        Ok(())
    }

    fn info(&self, link: &Self::Link) -> io::Result<LinkInfo> {
        let net = self.net.borrow();
        let of = net.ports.iter().find_map(|port| {
            let on = port.on.map(|(on, by)| (on.id, by));
            let mut all = port.tcx.iter().copied().chain(on);
            let (program, _) = all.find(|(_, by)| *by == link.id)?;
            Some((port.index, program))
        });
        let (index, program) = of.unwrap_or((0, OURS));
        Ok(LinkInfo {
            index,
            program,
            hook: link.hook,
        })
    }

    fn detach(&self, link: &Self::Link) -> io::Result<()> {
        self.net.borrow_mut().take_off(link.id);
        Ok(())
    }

    fn program(&self, role: Role) -> Option<u32> {
        match role {
            Role::Ethernet => Some(self.program),
            Role::Ip => Some(self.program + IP),
            Role::Tcx => self.has_tcx.then_some(self.program + TCX),
        }
    }

    fn name_of(&self, program: u32) -> Option<String> {
        if self.net.borrow().nameless {
            return None;
        }
        let name = match program {
            FOREIGN.. => "theirs",
            TCX.. => "couic_tcx",
            IP.. => "couic_ip",
            _ => "couic",
        };
        Some(name.to_owned())
    }

    fn tcx_programs(&self, index: u32) -> Vec<u32> {
        let mut net = self.net.borrow_mut();
        let port = net.port(index);
        port.map_or_else(Vec::new, |p| p.tcx.iter().map(|(id, _)| *id).collect())
    }
}

fn kept(wall: &Wall<Fake>) -> Vec<Rc<FakeLink>> {
    wall.links().map(|(_, _, link)| Rc::clone(link)).collect()
}

use OperationMode::{Auto, Generic, Native, Tcx};

#[test]
fn the_next_start_takes_over_without_a_gap() {
    let fake = Fake::new(&[("eth0", true), ("lo", false), ("eth1", true)]);
    let mut first = fake.wall(1, &["eth*", "lo"], Auto);
    first.raise(Vec::new()).unwrap();
    let pins = kept(&first);
    drop(first);
    assert_eq!(fake.programs(), [Some(1); 3], "it stays without a daemon");
    let mut second = fake.wall(2, &["eth*", "lo"], Auto);
    let deeds = second.raise(pins).unwrap();
    assert_eq!(fake.programs(), [Some(2); 3]);
    assert!(fake.net.borrow().ports.iter().all(|p| p.bare == 0));
    let adopted = |deed: &Deed| {
        matches!(
            deed,
            Deed::Filtering {
                how: How::Adopted,
                ..
            }
        )
    };
    assert!(deeds.len() == 3 && deeds.iter().all(adopted), "{deeds:?}");
}

#[test]
fn what_is_not_in_ifaces_any_more_is_taken_off() {
    let fake = Fake::new(&[("eth0", true), ("eth1", true)]);
    let mut first = fake.wall(1, &["eth0", "eth1"], Auto);
    first.raise(Vec::new()).unwrap();
    let pins = kept(&first);
    drop(first);
    let mut second = fake.wall(2, &["eth1"], Auto);
    second.raise(pins).unwrap();
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
        let mut first = fake.wall(1, &["eth0"], Auto);
        first.raise(Vec::new()).unwrap();
        let pins = kept(&first);
        drop(first);
        let mut second = fake.wall(2, ifaces, mode);
        second.raise(kept_by(&pins)).unwrap_err();
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
    let mut first = fake.wall(1, &["eth*"], Auto);
    first.raise(Vec::new()).unwrap();
    let pins = kept(&first);
    fake.net.borrow_mut().stubborn = Some(1);
    let mut second = fake.wall(2, &["eth*"], Auto);
    second.raise(kept_by(&pins)).unwrap_err();
    assert_eq!(fake.programs(), [Some(1), Some(1)]);
    fake.net.borrow_mut().stubborn = Some(2);
    second.raise(kept_by(&pins)).unwrap();
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
    let mut first = fake.wall(1, &["eth0", "dumb0"], Generic);
    first.raise(Vec::new()).unwrap();
    let pins = kept(&first);
    let mut second = fake.wall(2, &["eth0"], Native);
    second.raise(kept_by(&pins)).unwrap();
    let on = |id, mode| Some((id, mode));
    let runs = |fake: &Fake| {
        let net = fake.net.borrow();
        net.runs().iter().map(|(_, on)| *on).collect::<Vec<_>>()
    };
    assert_eq!(runs(&fake), [on(2, XdpMode::Native), None]);
    // What cannot be changed has the new rules in the old mode, and the start is refused.
    let mut third = fake.wall(3, &["dumb0"], Generic);
    third.raise(Vec::new()).unwrap();
    let pins = kept(&third);
    let mut fourth = fake.wall(4, &["dumb0"], Native);
    fourth.raise(pins).unwrap_err();
    assert_eq!(runs(&fake)[1], on(4, XdpMode::Generic));
    assert_eq!(fourth.links().count(), 1, "it is to be kept");
}

#[test]
fn others_are_named_and_another_couic_as_such() {
    let fake = Fake::new(&[("eth0", true), ("eth1", true)]).old();
    fake.occupy(1);
    let mut other = fake.wall(1, &["eth1"], Auto);
    other.raise(Vec::new()).unwrap();
    let told = |name| {
        let mut wall = fake.wall(2, &[name], Auto);
        wall.raise(Vec::new()).unwrap_err().to_string()
    };
    assert!(told("eth0").contains("\"theirs\" (id 7000000), which is not Couic's"));
    assert!(told("eth1").contains("of another Couic (id 1)"));
    // A pattern is no promise that all of them are ours.
    let mut wall = fake.wall(2, &["eth*"], Auto);
    wall.raise(Vec::new()).unwrap();
    let (states, _) = wall.report().unwrap();
    assert!(
        states
            .iter()
            .all(|s| s.mode.is_none() && s.problem.is_some())
    );
}

#[test]
fn names_without_an_interface_and_idle_patterns_are_reported() {
    let fake = Fake::new(&[("eth0", true)]);
    let mut wall = fake.wall(1, &["eth0", "veth*"], Auto);
    wall.raise(Vec::new()).unwrap();
    let (states, idle) = wall.report().unwrap();
    assert!(states.len() == 1 && idle.len() == 1 && idle[0].contains("veth*"));
    fake.net.borrow_mut().ports.clear();
    let deeds = wall.check().unwrap();
    assert!(matches!(&deeds[..], [Deed::Left { name, .. }] if name == "eth0"));
    let (states, _) = wall.report().unwrap();
    assert_eq!(states[0].problem, Some(gone("eth0")));
    fake.net.borrow_mut().add("eth0", true);
    wall.check().unwrap();
    assert_eq!(fake.programs(), [Some(1)]);
    assert!(matches!(&wall.lower()[..], [Deed::Left { .. }]));
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

/// Lets something happen to the model. Foreign programs are those attached by link 0.
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

/// What is to be attached to a port of which the configuration speaks: one program, the one that reads it rightly.
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
        // Without names that must be there, every start succeeds.
        let mut wall = fake.wall(program, &["eth?", "veth*"], Auto);
        wall.raise(Vec::new()).unwrap();
        let mut wall = {
            let pins = kept(&wall);
            drop(wall);
            program += 1;
            let mut wall = fake.wall(program, &ifaces, Auto);
            // lo is missing.
            prop_assert!(wall.raise(kept_by(&pins)).is_err());
            fake.net.borrow_mut().add("lo", false);
            wall.raise(pins).unwrap();
            wall
        };
        for (what, look) in all {
            if let Happening::Restart = what {
                let pins = kept(&wall);
                drop(wall);
                program += 1;
                wall = fake.wall(program, &ifaces, Auto);
                // Between two modes of XDP there is a gap, which only a change of type brings here.
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
                if wall.raise(kept_by(&pins)).is_err() {
                    // A name is missing, occupied or cannot be judged: the old program goes on, as if its daemon did.
                    program -= 1;
                    wall = fake.wall(program, &ifaces, Auto);
                    wall.held = held_from(&fake, pins);
                }
                prop_assert_eq!(bare(&fake), before, "nothing that is meant was bare");
            } else {
                happens(&mut fake.net.borrow_mut(), &what);
            }
            if !look {
                continue;
            }
            wall.check().unwrap();
            prop_assert!(!wall.has_lost());
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

fn held_from(fake: &Fake, pins: Vec<Rc<FakeLink>>) -> BTreeMap<u32, Held<Rc<FakeLink>>> {
    let held = pins.into_iter().filter_map(|link| {
        let index = fake.info(&link).ok()?.index;
        let held = Held {
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
