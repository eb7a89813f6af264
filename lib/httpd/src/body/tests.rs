//! Limits of one body and of all, both ways of reserving memory, and stalls.

use std::{convert::Infallible, pin::pin};

use futures_util::stream;

use super::*;

type Piece = Result<Bytes, Infallible>;

const LIMITS: BodyLimits = BodyLimits {
    max: 10,
    free: 0,
    budget: 20,
    share: 40,
    reserve: 0,
    silence: Duration::from_secs(30),
    wait: None,
};

const WAITING: BodyLimits = BodyLimits {
    wait: Some(Duration::from_secs(10)),
    ..LIMITS
};

fn pieces(texts: &[&'static str]) -> impl Stream<Item = Piece> + Send + use<> {
    let pieces: Vec<Piece> = texts
        .iter()
        .map(|t| Ok(Bytes::from_static(t.as_bytes())))
        .collect();
    stream::iter(pieces)
}

async fn read(
    reader: &BodyReader,
    texts: &[&'static str],
    announced: Option<u64>,
) -> Result<Bytes, BodyError> {
    reader.read(pin!(pieces(texts)), announced, of("web")).await
}

fn of(name: &str) -> BodyOwner {
    BodyOwner {
        name: name.to_owned(),
        is_trusted: name == "admin",
    }
}

/// A body of which these pieces came, and no more comes for now.
async fn read_part(
    reader: &BodyReader,
    owner: &str,
    texts: &[&'static str],
) -> Result<Bytes, BodyError> {
    let body = pieces(texts).chain(stream::pending());
    reader.read(pin!(body), Some(10), of(owner)).await
}

#[tokio::test]
async fn bodies_are_put_together_up_to_the_limit() {
    let large = Err(BodyError::TooLarge(10));
    for limits in [LIMITS, WAITING] {
        let reader = BodyReader::new(limits);
        assert_eq!(read(&reader, &[], None).await.unwrap(), "");
        for (texts, announced) in [
            (&["0123456789"][..], None),
            (&["01234", "", "56789"], Some(10)),
            (&["01", "23", "456789"], None),
            (&["01", "23", "456789"], Some(1)),
        ] {
            let whole = read(&reader, texts, announced).await;
            assert_eq!(whole.unwrap(), "0123456789", "{texts:?} {announced:?}");
        }
        assert_eq!(read(&reader, &["0123456789a"], None).await, large);
        assert_eq!(
            read(&reader, &["01234", "56789", "a"], Some(5)).await,
            large
        );
        assert_eq!(read(&reader, &[], Some(11)).await, large);
        assert_eq!(read(&reader, &["0"], Some(u64::MAX)).await, large);
        assert_eq!(reader.budget.used(), 0, "all is given back");
    }
}

#[tokio::test]
async fn without_waiting_memory_is_reserved_as_chunks_come() {
    let reader = BodyReader::new(LIMITS);
    let single = read(&reader, &["0123456789"], None).await.unwrap();
    assert_eq!(reader.budget.used(), 0, "it is not copied");
    let announced = read(&reader, &["0", "1"], Some(8)).await.unwrap();
    assert_eq!(reader.budget.used(), 2);
    let grown = read(&reader, &["01", "23", "4"], None).await.unwrap();
    assert_eq!(reader.budget.used(), 10, "room is doubled");
    let (more, last) = (&["012345", "6789"], &["0", "1"]);
    let large = read(&reader, more, None).await.unwrap();
    assert_eq!(reader.budget.used(), 20);
    assert_eq!(read(&reader, last, None).await, Err(BodyError::NoRoom(20)));
    let clone = grown.clone();
    drop((single, announced, grown, large));
    assert_eq!(reader.budget.used(), 8);
    drop(clone);
    assert_eq!(reader.budget.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn with_waiting_a_body_reserves_all_of_its_length_once_some_of_it_came() {
    let reader = BodyReader::new(BodyLimits { free: 2, ..WAITING });
    let small = read(&reader, &["0", "1"], Some(9)).await.unwrap();
    assert_eq!(reader.budget.used(), 0);
    let known = read(&reader, &["01", "2"], Some(4)).await.unwrap();
    assert_eq!(reader.budget.used(), 4);
    let unknown = read(&reader, &["01", "2"], None).await.unwrap();
    assert_eq!(reader.budget.used(), 14, "the most it can be");
    let start = Instant::now();
    let full = read(&reader, &["01", "2"], Some(7)).await;
    assert_eq!(full, Err(BodyError::NoRoom(20)));
    assert_eq!(start.elapsed().as_secs(), 10);
    let next = read(&reader, &["01", "2"], Some(10));
    let freed = async {
        time::sleep(Duration::from_secs(5)).await;
        drop(known);
    };
    assert_eq!(tokio::join!(next, freed).0.unwrap(), "012");
    drop((small, unknown));
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_announced_and_not_sent_take_no_room_of_others() {
    for limits in [LIMITS, BodyLimits { free: 2, ..WAITING }] {
        let reader = BodyReader::new(limits);
        let stalled = (0..8).map(|_| read_part(&reader, "greedy", &["0", "1"]));
        let stalled = futures_util::future::join_all(stalled);
        let honest = async {
            time::sleep(Duration::from_secs(1)).await;
            let body = pieces(&["01", "23"]);
            let start = Instant::now();
            let read = reader.read(pin!(body), Some(4), of("web")).await;
            assert!(start.elapsed() < Duration::from_secs(1));
            read
        };
        let (stalled, honest) = tokio::join!(stalled, honest);
        assert_eq!(honest.unwrap(), "0123");
        assert!(stalled.iter().all(Result::is_err));
        assert_eq!(reader.budget.used(), 0);
    }
}

#[tokio::test]
async fn a_client_has_a_share_of_the_budget_and_admins_a_reserve() {
    let reader = BodyReader::new(BodyLimits {
        share: 8,
        reserve: 6,
        ..LIMITS
    });
    let send = async |owner| {
        let body = pieces(&["0123", "4567"]);
        reader.read(pin!(body), None, of(owner)).await
    };
    let _one = send("one").await.unwrap();
    assert_eq!(send("one").await, Err(BodyError::ShareTaken(8)));
    assert_eq!(send("two").await, Err(BodyError::NoRoom(14)));
    let _admin = send("admin").await.unwrap();
    assert_eq!(send("admin").await, Err(BodyError::NoRoom(20)));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_ends_after_a_time_by_what_came() {
    let reader = BodyReader::new(BodyLimits {
        max: 1 << 20,
        budget: 1 << 20,
        share: 1 << 20,
        ..LIMITS
    });
    let body = |size: usize, pause: u64| {
        stream::iter([(); 64]).then(move |()| async move {
            time::sleep(Duration::from_secs(pause)).await;
            Ok::<_, Infallible>(Bytes::from(vec![b'x'; size]))
        })
    };
    let start = Instant::now();
    let trickled = reader.read(pin!(body(1, 20)), None, of("web")).await;
    assert_eq!(trickled, Err(BodyError::TooSlow));
    assert_eq!(start.elapsed().as_secs(), 30);
    let slow = reader.read(pin!(body(16 * 1024, 1)), None, of("web")).await;
    assert_eq!(slow.unwrap().len(), 1 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_client_may_stall_for_so_long_and_no_longer() {
    let silence = LIMITS.silence;
    let mut silent = pin!(pieces(&["01"]).chain(stream::pending()));
    let first = next_chunk(silent.as_mut(), silence).await.unwrap();
    assert_eq!(first.unwrap(), "01");
    let error = next_chunk(silent, silence).await;
    assert_eq!(error, Err(BodyError::Stalled(silence)));
    // Late chunks are taken, if they are in time.
    let mut late = pin!(pieces(&["0", "1"]).then(|piece| async {
        time::sleep(Duration::from_secs(29)).await;
        piece
    }));
    for expected in [Some("0"), Some("1"), None] {
        let chunk = next_chunk(late.as_mut(), silence).await;
        assert_eq!(chunk.unwrap().as_deref(), expected.map(str::as_bytes));
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_with_its_cause() {
    let broken = stream::iter([Ok(Bytes::from_static(b"0")), Err("reset by the client")]);
    let read = BodyReader::new(WAITING)
        .read(pin!(broken), None, of("web"))
        .await;
    let told = read.unwrap_err().to_string();
    assert_eq!(told, "the body broke off: reset by the client");
}
