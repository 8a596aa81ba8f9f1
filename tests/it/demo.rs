//! `mailbridge demo`: the whole product on one command.

use crate::support::daemon::mailbridge;

#[test]
fn every_sample_mail_becomes_exactly_one_ticket_message() {
    let output = mailbridge(&["demo", "--exit-when-done"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("posted"), "{text}");
}
