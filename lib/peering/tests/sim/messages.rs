//! Messages of the simulation: built from the requests of a link, and answered from a replica, as the daemon does over
//! HTTP.

use couic_common::{Policy, RuleKey};
use couic_peering::{
    Ask, DigestAnswer, DigestRequest, Face, Moment, PullAnswer, PullRequest, PushAnswer,
    PushRequest, Replica, WireRecord,
};

use super::{Event, World};

#[derive(Debug)]
pub(super) enum Message {
    Digest(Policy, DigestRequest),
    Pull(Policy, PullRequest),
    Push(Policy, PushRequest),
}

#[derive(Debug)]
pub(super) enum Reply {
    Digest(DigestAnswer),
    Pull(PullAnswer),
    Push(PushAnswer),
}

pub(super) fn message(replica: &mut Replica<()>, moment: Moment, ask: Ask, gap: i64) -> Message {
    let from = Face::of(replica, moment);
    match ask {
        Ask::Digest(policy, of) => Message::Digest(policy, DigestRequest { from, of }),
        Ask::Pull(policy, leaves) => Message::Pull(policy, PullRequest { from, leaves }),
        Ask::Push(policy, cidrs) => {
            let slots = cidrs
                .iter()
                .filter_map(|cidr| Some((*cidr, replica.get(RuleKey::new(policy, *cidr))?)));
            let records = slots
                .map(|(cidr, slot)| WireRecord::new(cidr, &slot.record))
                .collect();
            Message::Push(policy, PushRequest { from, gap, records })
        }
        Ask::Plain(_) => unreachable!("no node of the simulation is a plain one"),
    }
}

pub(super) fn size(event: &Event) -> usize {
    let text = match event {
        Event::Request(Message::Digest(_, body)) => serde_json::to_string(body),
        Event::Request(Message::Pull(_, body)) => serde_json::to_string(body),
        Event::Request(Message::Push(_, body)) => serde_json::to_string(body),
        Event::Answer(Reply::Digest(body)) => serde_json::to_string(body),
        Event::Answer(Reply::Pull(body)) => serde_json::to_string(body),
        Event::Answer(Reply::Push(body)) => serde_json::to_string(body),
        Event::Wake | Event::Failure(_) => return 0,
    };
    text.unwrap().len()
}

impl World {
    /// The response of a node.
    pub(super) fn serve(&mut self, node: usize, message: Message) -> Reply {
        let moment = self.moment(node);
        let replica = &mut self.nodes[node].replica;
        replica.bury(moment.wall, 1_000);
        match message {
            Message::Digest(policy, request) => {
                let _ = replica.hlc().observe(request.from.clock, moment);
                Reply::Digest(DigestAnswer::of(replica, policy, &request.of, moment))
            }
            Message::Pull(policy, request) => Reply::Pull(PullAnswer::of(
                replica,
                policy,
                &request.leaves,
                moment,
                |_| true,
            )),
            Message::Push(policy, request) => {
                for record in &request.records {
                    let (cidr, record) = record.read(request.gap).unwrap();
                    replica.merge(RuleKey::new(policy, cidr), record, (), moment);
                }
                let answer = PushAnswer {
                    from: Face::of(replica, moment),
                    taken: request.records.len() as u64,
                    wait_ms: 0,
                    refused: 0,
                    problem: None,
                };
                Reply::Push(answer)
            }
        }
    }
}
