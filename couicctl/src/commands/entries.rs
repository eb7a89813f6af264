//! `couicctl drop` and `couicctl ignore`.

use clap::Args;
use couic_client::ClientError;
use couic_common::{
    BatchJob, BatchRule, Cidr, Entry, EntryRequest, GuardRequest, Lookup, PeerAction, Policy,
};

use super::{Context, delete, export, import, list};
use crate::{
    cli::{AddArgs, EntryCommand, Label, Lift, Override},
    duration::now,
    failure::{Failure, print_error, with_option},
    input::{self, Network, Networks},
    render, session,
};

pub(super) async fn run<F: Args + Override>(
    policy: Policy,
    command: EntryCommand<F>,
    cx: &mut Context,
) -> Result<(), Failure> {
    match command {
        EntryCommand::Add(args) => add_all(policy, &args, cx).await,
        EntryCommand::Delete(args) => delete::run(policy, args, cx).await,
        EntryCommand::List(args) => list::run(policy, args, cx).await,
        EntryCommand::Inspect { cidr } => {
            let entry = cx.client.entry_with_owners(policy, cidr.cidr).await;
            let entry = entry.map_err(|e| cx.failed(e).noted(cidr.note.as_deref()))?;
            show(policy, &entry, cx.now(), cx)?;
            if !cx.output.is_json() {
                let now = cx.now();
                render::details(&entry, now, cx.output.writer())?;
            }
            Ok(())
        }
        EntryCommand::Import(args) => import::run(policy, &args, cx).await,
        EntryCommand::Export(args) => export::run(policy, args, cx).await,
    }
}

fn show(policy: Policy, entry: &Entry, at: u64, cx: &mut Context) -> Result<(), Failure> {
    cx.output
        .table(entry, || render::entries(policy, [entry], at))
}

/// Of so many networks of one command it is said what now happens to them.
pub(super) const REMARKS: usize = 16;

/// The request for one entry, with its expiration relative to `at` (Unix seconds).
pub(super) fn request<F: Override>(
    cidr: Cidr,
    label: &Label,
    force: &F,
    guard: &GuardRequest,
    at: u64,
) -> EntryRequest {
    let span = label.expiration.flatten();
    EntryRequest {
        longer: false,
        cidr: cidr.to_string(),
        // For daemons that do not know `ttl`.
        expiration: expiration(label, at),
        tag: label.tag.as_ref().map(ToString::to_string),
        metadata: label.reason.clone().map(input::given),
        force: is_forced(force),
        guard: Some(guard.clone()),
        ttl: span.map(|span| span.as_secs()),
    }
}

fn expiration(label: &Label, at: u64) -> u64 {
    let span = label.expiration.flatten();
    let end = span.map_or(0, |span| at + span.as_secs());
    label.until.unwrap_or(end)
}

/// What happens to the address, or the first of the network, for a remark about it: none with `--json`, nor if that
/// cannot be read. The change is made by then.
pub(super) async fn lookup(cidr: Cidr, cx: &Context) -> Option<Lookup> {
    if cx.output.is_json() {
        return None;
    }
    cx.client.lookup(cidr.addr()).await.ok()
}

/// The guard rails to request: they protect the operator's SSH session, too.
pub(super) fn guard_of(force: &impl Override) -> GuardRequest {
    GuardRequest {
        protect: session::addresses(),
        lift: match force.lift() {
            Some(Lift::Some(rails)) => rails.clone(),
            _ => Vec::new(),
        },
    }
}

/// Whether every guard rail is overridden.
pub(super) fn is_forced(force: &impl Override) -> bool {
    force.lift() == Some(&Lift::All)
}

/// The request as a batch job, which updates an existing entry instead of failing.
pub(super) fn job(request: EntryRequest) -> BatchJob {
    let EntryRequest {
        cidr,
        expiration,
        tag,
        metadata,
        force,
        guard,
        ttl,
        longer,
    } = request;
    BatchJob {
        action: PeerAction::Add,
        entry: BatchRule {
            cidr,
            expiration,
            tag,
            metadata,
            force,
            guard,
            ttl,
            longer,
        },
    }
}

/// Adds one network after the other. A refusal does not keep the others from being added.
async fn add_all<F: Args + Override>(
    policy: Policy,
    args: &AddArgs<F>,
    cx: &mut Context,
) -> Result<(), Failure> {
    // Rendered with the time of the request, so that 2h is not shown as 1h 59m.
    let at = now();
    let networks = all(&args.cidrs);
    let (mut added, mut failures) = (Vec::new(), Vec::new());
    for Network { cidr, note } in &networks {
        match add(policy, args, *cidr, at, cx).await {
            Ok(entry) => added.push(entry),
            Err(failure) => {
                let goes_on = matches!(failure, Failure::Refused(_));
                failures.push(failure.noted(note.as_deref()));
                if !goes_on {
                    break;
                }
            }
        }
    }
    let at = at.saturating_add_signed(cx.client.clock_ahead());
    match (&networks[..], &added[..]) {
        (_, []) => {}
        ([_], [entry]) => show(policy, entry, at, cx)?,
        _ => cx
            .output
            .table(&added, || render::entries(policy, &added, at))?,
    }
    let asked = expiration(&args.label, at);
    for entry in added.iter().take(REMARKS) {
        if let Some(lookup) = lookup(entry.cidr, cx).await {
            let rule = (policy, entry.cidr, asked);
            render::after_add(rule, &lookup, at, cx.output.writer())?;
        }
    }
    report(failures, cx)
}

pub(super) fn all(cidrs: &[Networks]) -> Vec<&Network> {
    cidrs.iter().flat_map(|networks| &networks.0).collect()
}

/// Reports the failures of a command with several networks, after its output.
pub(super) fn report(mut failures: Vec<Failure>, cx: &mut Context) -> Result<(), Failure> {
    let Some(last) = failures.pop() else {
        return Ok(());
    };
    cx.output.flush()?;
    for failure in &failures {
        print_error(&failure.text());
    }
    Err(last)
}

async fn add<F: Args + Override>(
    policy: Policy,
    args: &AddArgs<F>,
    cidr: Cidr,
    at: u64,
    cx: &Context,
) -> Result<Entry, Failure> {
    let guard = guard_of(&args.force);
    let mut request = request(cidr, &args.label, &args.force, &guard, at);
    request.longer = args.longer;
    if !args.renew && !args.longer {
        let added = cx.client.add(policy, &request).await;
        return added.map_err(|error| conflict(error, cx));
    }
    let outcome = cx.client.batch(policy, &[job(request)]).await;
    let outcome = outcome.map_err(|e| cx.failed(e))?;
    if let Some(failure) = outcome.failures.into_iter().next() {
        return Err(Failure::Refused(with_option(&failure.message)));
    }
    let entry = cx.client.entry(policy, cidr).await;
    entry.map_err(|e| cx.failed(e))
}

fn conflict(error: ClientError, cx: &Context) -> Failure {
    let exists = error.status() == Some(409);
    let remedy =
        exists.then_some("to add a claim of your own, or to change its expiration, use --renew, or --longer so that it is never made shorter");
    cx.failed(error).or_refused_with(remedy)
}
