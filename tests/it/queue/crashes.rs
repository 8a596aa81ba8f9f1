//! What a dead daemon left, and what it knew of a mail's outcome.

use std::time::Duration;

use mailbridge::queue::{End, Operated, Operation, Recovery, State, Turn};

use super::{HOUR, POSTED, START, Store, deferred, tenant};

#[tokio::test]
async fn a_crash_leaves_nothing_behind() {
    let store = Store::new();
    store.accept(&[1, 2, 3]).await;
    let items = store.queue.claim(&tenant(), 2).await.expect("claimed");
    assert_eq!(store.write(items[0].claim, &[]).await, Some(Turn::Write(1)));
    std::fs::write(store.dir.path().join("spool/orphan"), "left").expect("written");
    let (second, recovery) = store.crashed();
    let [unknown, released] = [items[0].claim.id, items[1].claim.id];
    assert_eq!(recovery, Recovery { released: 1, unknown: vec![unknown], orphans: 1, ..Recovery::default() });
    assert!(!second.finish(items[1].claim, POSTED).await, "an old claim is void");
    let again = second.queue.claim(&tenant(), 9).await.expect("claimed");
    let seen: Vec<_> = again.iter().map(|item| (item.verify_since.is_some(), item.attempts, item.strikes)).collect();
    assert_eq!(seen, [(true, 1, 0), (false, 0, 1), (false, 0, 0)]);
    let (third, recovery) = second.crashed();
    assert_eq!((recovery.released, recovery.parked), (3, vec![]));
    let entry = third.entry(released).await;
    assert_eq!((entry.state, entry.next_attempt_at), (State::Queued, Some(START.plus(Duration::from_secs(1)))));
    assert!(third.entry(unknown).await.verify);
}

/// Claims everything and crashes.
async fn crashed_with_all(store: &Store) -> (Store, Recovery) {
    store.clock.set(store.clock.now().plus(HOUR));
    assert!(!store.queue.claim(&tenant(), 9).await.expect("claimed").is_empty());
    store.crashed()
}

#[tokio::test]
async fn crashes_park_only_a_mail_that_is_alone_again_and_again() {
    let mut store = Store::new();
    let mut ids = store.accept(&[1, 2]).await.into_iter().map(|mail| mail.id);
    let (first, second) = (ids.next().expect("stored"), ids.next().expect("stored"));
    for _ in 0..30 {
        let (next, recovery) = crashed_with_all(&store).await;
        assert_eq!((recovery.released, recovery.parked), (2, vec![]), "neither is alone");
        store = next;
    }
    store.clock.set(store.clock.now().plus(HOUR));
    let claim = store.claim_one().await.claim;
    assert_eq!((claim.id, store.write(claim, &[]).await), (first, Some(Turn::Write(1))));
    assert!(store.finish(claim, deferred(store.clock.now(), false)).await);
    assert_eq!(store.entry(first).await.strikes, 0, "it came to its write");
    assert_eq!(store.operate(Operation::Hold, first).await, Operated::Done);
    let (store, recovery) = crashed_with_all(&store).await;
    assert_eq!((recovery.released, recovery.parked), (0, vec![second]));
    let entry = store.entry(second).await;
    assert_eq!((entry.state, entry.error_class.as_deref(), entry.has_raw), (State::Failed, Some("crash"), true));
}

#[tokio::test]
async fn a_mail_that_is_retried_or_taken_up_again_is_still_looked_up_first() {
    let store = Store::new();
    store.accept(&[1, 2]).await;
    for _ in 0..2 {
        let claim = store.claim_one().await.claim;
        assert_eq!(store.write(claim, &[]).await, Some(Turn::Write(1)));
        assert!(store.finish(claim, deferred(START.plus(HOUR), true)).await);
    }
    store.clock.set(START.plus(HOUR));
    let items = store.queue.claim(&tenant(), 2).await.expect("claimed");
    let unread = End::Failed { class: "parse".to_owned(), error: "no step left".to_owned() };
    assert!(store.finish(items[0].claim, unread).await);
    assert!(store.finish(items[1].claim, End::Released { at: START }).await);
    assert_eq!(store.operate(Operation::Drop, items[1].claim.id).await, Operated::Done);
    for item in &items {
        assert_eq!(store.operate(Operation::Retry, item.claim.id).await, Operated::Done);
    }
    let again = store.queue.claim(&tenant(), 9).await.expect("claimed");
    assert_eq!(again.iter().filter(|item| item.verify_since.is_some()).count(), 2);
}
