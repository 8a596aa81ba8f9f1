use mailbridge::config::Limits;
use mailbridge::message::{Depth, Message, Rules, parse};

/// Any bytes are a mail, at every depth, with the bounds of the manual and with small ones.
pub(super) fn check(raw: &[u8]) {
    let rules = Rules::default();
    let full = parse(raw, &rules, Depth::Full);
    for depth in [Depth::Text, Depth::Headers] {
        let message = parse(raw, &rules, depth);
        assert!(message.depth >= depth, "deeper than asked for");
        // What the ladder loses is content, never who wrote what to whom.
        assert_eq!(message.message_id, full.message_id);
        assert_eq!((&message.subject, &message.from, &message.to), (&full.subject, &full.from, &full.to));
        holds(&message, &rules);
    }
    holds(&full, &rules);
    let small = Rules { limits: small(), ..Rules::default() };
    holds(&parse(raw, &small, Depth::Full), &small);
}

/// Bounds that short mails reach.
fn small() -> Limits {
    Limits {
        header_bytes: "300B".parse().expect("a size"),
        header_line: "80B".parse().expect("a size"),
        header_count: 6,
        address_count: 3,
        reference_count: 2,
        nesting: 3,
        parts: 4,
        attachments: 2,
        body_chars: 50,
        filename_bytes: 20,
        ..Limits::default()
    }
}

fn holds(message: &Message, rules: &Rules) {
    let within = |count: usize, limit: u32| count <= usize::try_from(limit).expect("a count");
    let limits = &rules.limits;
    assert!(!message.message_id.is_empty() && message.message_id.chars().count() <= 848);
    assert_eq!(message.canonical_hash.len(), 64);
    assert!(!message.text.is_empty() && !message.text.contains('\0'));
    assert!(message.text.chars().count() <= usize::try_from(limits.body_chars).expect("a count").max(20));
    assert!(within(message.attachments.len(), limits.attachments));
    assert!(within(message.references.len(), limits.reference_count));
    let people = [&message.from, &message.reply_to, &message.to, &message.cc, &message.bcc];
    assert!(within(people.iter().map(|list| list.len()).sum(), limits.address_count));
    let mut names: Vec<_> = message.attachments.iter().map(|part| part.name.to_lowercase()).collect();
    assert!(names.iter().all(|name| !name.is_empty() && !name.contains(['/', '\\', '\0', '\n', '\r'])), "{names:?}");
    names.sort();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "two parts of one name");
    assert!(!message.subject.contains(['\r', '\n', '\0']));
}
