//! Messages of the simulation: built from the requests of a link, and answered from a replica, as the daemon does over
//! HTTP.

use couic_common::{Policy, RuleKey};
use couic_peering::{
    Ask, DigestAnswer, DigestRequest, Face, Moment, PullAnswer, PullRequest, PushAnswer,
    PushRequest, RegisterId, Replica, WireRecord,
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

pub(super) fn message(replica: &Replica, moment: Moment, ask: Ask, gap: i64) -> Message {
    let from = Face::of(replica, moment);
    match ask {
        Ask::Digest(policy, of) => Message::Digest(policy, DigestRequest { from, of }),
        Ask::Pull(policy, leaves, after) => Message::Pull(
            policy,
            PullRequest {
                from,
                leaves,
                after,
            },
        ),
        Ask::Push(policy, all) => {
            let slots = all.iter().filter_map(|(cidr, author)| {
                let (key, author) = (RuleKey::new(policy, *cidr), *author);
                Some((*cidr, replica.get(RegisterId { key, author })?))
            });
            let records = slots
                .map(|(cidr, slot)| WireRecord::new(cidr, slot, replica.reason(slot)))
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
    /// The response of a node to another.
    pub(super) fn serve(&mut self, (from, to): (usize, usize), message: Message) -> Reply {
        let moment = self.moment(to);
        let node = &mut self.nodes[to];
        node.replica.bury(moment, 1_000);
        let peer = node.peers[from];
        let face = match &message {
            Message::Digest(_, request) => request.from,
            Message::Pull(_, request) => request.from,
            Message::Push(_, request) => request.from,
        };
        assert_eq!(face.check(node.replica.node(), moment), Ok(()));
        node.replica.heard(peer, face.node, moment);
        match message {
            Message::Digest(policy, request) => {
                let mut answer = DigestAnswer::of(&node.replica, policy, &request.of, moment);
                if self.hostile == Some(to) && self.chance.u8(..4) == 0 {
                    answer.digests.pop();
                }
                Reply::Digest(answer)
            }
            Message::Pull(policy, request) => {
                Reply::Pull(PullAnswer::of(&node.replica, policy, &request, moment))
            }
            Message::Push(policy, request) => {
                let read = |record: &WireRecord| record.read(request.gap).unwrap();
                let offers: Vec<_> = request.records.iter().map(read).collect();
                self.take(to, peer, policy, &offers);
                Reply::Push(PushAnswer {
                    from: Face::of(&self.nodes[to].replica, moment),
                    taken: request.records.len() as u64,
                    wait_ms: 0,
                    refused: 0,
                    problem: None,
                })
            }
        }
    }
}
