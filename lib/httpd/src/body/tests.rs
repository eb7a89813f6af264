//! Limits of one body and of all, both ways of reserving memory, and stalls.

use std::{convert::Infallible, pin::pin};

use futures_util::stream;

use super::*;

type Piece = Result<Bytes, Infallible>;

const LIMITS: BodyLimits = BodyLimits {
    max: 10,
    budget: 20,
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
    reader.read(pin!(pieces(texts)), announced).await
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
        assert_eq!(reader.room.available_permits(), 20, "all is given back");
    }
}

#[tokio::test]
async fn without_waiting_memory_is_reserved_as_chunks_come() {
    let reader = BodyReader::new(LIMITS);
    let single = read(&reader, &["0123456789"], None).await.unwrap();
    assert_eq!(reader.room.available_permits(), 20, "it is not copied");
    let announced = read(&reader, &["0", "1"], Some(8)).await.unwrap();
    assert_eq!(reader.room.available_permits(), 12);
    let grown = read(&reader, &["01", "23", "4"], None).await.unwrap();
    assert_eq!(reader.room.available_permits(), 4, "shares are doubled");
    let full = read(&reader, &["01", "234"], None).await;
    assert_eq!(full, Err(BodyError::NoRoom(20)));
    assert_eq!(reader.room.available_permits(), 4);
    let clone = grown.clone();
    drop((single, announced, grown));
    assert_eq!(reader.room.available_permits(), 12);
    drop(clone);
    assert_eq!(reader.room.available_permits(), 20);
}

#[tokio::test(start_paused = true)]
async fn with_waiting_a_body_reserves_all_of_its_length_before_it_is_read() {
    let reader = BodyReader::new(WAITING);
    let known = read(&reader, &["0"], Some(4)).await.unwrap();
    assert_eq!(reader.room.available_permits(), 16);
    let unknown = read(&reader, &["0"], None).await.unwrap();
    assert_eq!(reader.room.available_permits(), 6, "the most it can be");
    let start = time::Instant::now();
    let full = read(&reader, &["0"], Some(7)).await;
    assert_eq!(full, Err(BodyError::NoRoom(20)));
    assert_eq!(start.elapsed().as_secs(), 10);
    let next = read(&reader, &["0"], Some(10));
    let freed = async {
        time::sleep(Duration::from_secs(5)).await;
        drop(known);
    };
    assert_eq!(tokio::join!(next, freed).0.unwrap(), "0");
    drop(unknown);
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
    let read = BodyReader::new(WAITING).read(pin!(broken), None).await;
    let told = read.unwrap_err().to_string();
    assert_eq!(told, "the body broke off: reset by the client");
}
