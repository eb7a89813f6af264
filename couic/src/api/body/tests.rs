//! Limits and content types.

use std::pin::pin;

use futures_util::stream;

use super::*;

type Piece = Result<Bytes, warp::Error>;

fn pieces(texts: &[&'static str]) -> impl Stream<Item = Piece> + Send + use<> {
    let pieces: Vec<Piece> = texts
        .iter()
        .map(|t| Ok(Bytes::from_static(t.as_bytes())))
        .collect();
    stream::iter(pieces)
}

async fn read(texts: &[&'static str], announced: Option<u64>) -> Result<Bytes, u16> {
    let body = pin!(pieces(texts));
    let read = read_all(body, announced, 10).await;
    read.map_err(|fault| fault.status.as_u16())
}

#[tokio::test]
async fn bodies_are_assembled_up_to_the_limit() {
    assert_eq!(read(&[], None).await.unwrap(), "");
    assert_eq!(read(&["0123456789"], None).await.unwrap(), "0123456789");
    assert_eq!(
        read(&["01234", "", "56789"], Some(10)).await.unwrap(),
        "0123456789"
    );
    assert_eq!(read(&["0123456789a"], None).await, Err(413));
    assert_eq!(read(&["01234", "56789", "a"], Some(5)).await, Err(413));
    assert_eq!(read(&[], Some(11)).await, Err(413));
    assert_eq!(read(&["0"], Some(u64::MAX)).await, Err(413));
}

#[test]
fn bodies_share_a_budget() {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let mut one = Whole::new(&TAKEN, 100);
    one.make_room(10).unwrap();
    one.make_room(60).unwrap();
    let mut other = Whole::new(&TAKEN, 100);
    other.make_room(40).unwrap();
    let fault = other.make_room(41).unwrap_err();
    assert_eq!((fault.status.as_u16(), fault.close), (503, true));
    let bytes = Bytes::from_owner(one);
    let kept = bytes.clone();
    drop(bytes);
    assert_eq!(TAKEN.load(Relaxed), 100);
    drop(kept);
    assert_eq!(TAKEN.load(Relaxed), 40);
    other.make_room(100).unwrap();
    drop(other);
    assert_eq!(TAKEN.load(Relaxed), 0);
}

#[tokio::test]
async fn a_client_may_be_silent_for_so_long_and_no_longer() {
    let silence = Duration::from_millis(50);
    let mut silent = pin!(pieces(&["01"]).chain(stream::pending()));
    let first = next_chunk_within(silent.as_mut(), silence).await.unwrap();
    assert_eq!(first.unwrap(), "01");
    let fault = next_chunk_within(silent, silence).await.unwrap_err();
    assert_eq!((fault.status.as_u16(), fault.close), (408, true));
    // Data that arrives late, but in time, is accepted.
    let mut late = pin!(pieces(&["0", "1"]).then(|piece| async {
        tokio::task::yield_now().await;
        piece
    }));
    for expected in [Some("0"), Some("1"), None] {
        let chunk = next_chunk_within(late.as_mut(), Duration::from_secs(60)).await;
        assert_eq!(chunk.unwrap().as_deref(), expected.map(str::as_bytes));
    }
}
