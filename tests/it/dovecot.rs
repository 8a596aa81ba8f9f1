//! Stories with a real Dovecot.

use std::fs;
use std::ops::Range;

use crate::support::World;
use crate::support::dovecot::Dovecot;
use crate::support::world::USER;

fn mails(numbers: Range<usize>) -> impl Iterator<Item = (String, Vec<u8>)> {
    numbers.map(|number| (format!("{}.{number}.story", 1_790_000_000 + number), World::mail(number)))
}

#[test]
fn a_real_dovecot_is_drained_and_then_watched() {
    let Some(dovecot) = Dovecot::start() else { return };
    let world = World::new();
    dovecot.deliver(USER, mails(0..50));
    let daemon = world.daemon_with(&world.config_at(dovecot.port()));
    world.wait_messages(50);
    daemon.wait_event("mailbox.state", |line| line["to"] == "idle");
    dovecot.deliver(USER, mails(50..53));
    world.wait_messages(53);
    daemon.stop();
    world.assert_exactly(0..53);
    let seen = fs::read_dir(dovecot.path("mail/support/cur")).expect("the Maildir").flatten();
    let flagged = seen.filter(|file| file.file_name().to_string_lossy().contains('S')).count();
    assert!(flagged >= 50, "{flagged} are seen");
}
