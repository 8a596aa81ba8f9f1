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
    assert_eq!(seen, [(true, 1, 1), (false, 0, 1), (false, 0, 0)]);
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
async fn a_mail_that_kills_its_daemon_in_the_post_comes_back_later_and_later_and_is_parked_in_the_end() {
    let mut store = Store::new();
    let id = store.accept(&[1]).await[0].id;
    for crash in 1..12_u32 {
        store.clock.set(store.clock.now().plus(HOUR));
        let item = store.claim_one().await;
        assert_eq!((item.strikes, item.verify_since.is_some()), (crash - 1, crash > 1), "it is looked up first");
        assert_eq!(store.write(item.claim, &[]).await, Some(Turn::Write(crash)));
        let (next, recovery) = store.crashed();
        assert_eq!((recovery.unknown, recovery.parked), (vec![id], vec![]));
        let wait = next.entry(id).await.next_attempt_at.map_or(0, |at| at.since(store.clock.now()).as_secs());
        assert_eq!(wait, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300][usize::try_from(crash - 1).expect("small")]);
        store = next;
    }
    store.clock.set(store.clock.now().plus(HOUR));
    let claim = store.claim_one().await.claim;
    assert_eq!(store.write(claim, &[]).await, Some(Turn::Write(12)));
    let (store, recovery) = store.crashed();
    assert_eq!((recovery.released, recovery.unknown, recovery.parked), (0, vec![], vec![id]));
    let entry = store.entry(id).await;
    assert_eq!((entry.state, entry.error_class.as_deref(), entry.has_raw), (State::Failed, Some("crash"), true));
    assert_eq!(store.operate(Operation::Retry, id).await, Operated::Done);
    assert!(store.claim_one().await.verify_since.is_some(), "its last post may have been carried out");
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
