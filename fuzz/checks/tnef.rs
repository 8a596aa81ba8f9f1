use mailbridge::message::{Depth, Rules, parse};

/// Any bytes behind the signature are a container of Outlook: what comes out of it lies in it, and its names are names.
pub(super) fn check(container: &[u8]) {
    let head = b"Message-Id: <a@b>\nContent-Type: application/ms-tnef\n\n\x78\x9f\x3e\x22\0\0";
    let raw = [head, container].concat();
    let rules = Rules::default();
    let message = parse(&raw, &rules, Depth::Full);
    assert_eq!(message.depth, Depth::Full);
    let size: u64 = message.attachments.iter().map(|part| part.size).sum();
    assert!(size <= 2 * u64::try_from(raw.len()).expect("a size"), "{size} bytes out of {}", raw.len());
    assert!(message.attachments.len() <= usize::try_from(rules.limits.attachments).expect("a count"));
    // Packed text unpacks to at most nine times its size, and a byte to at most three of UTF-8.
    assert!(message.text.len() <= 40 * raw.len(), "{} bytes of text out of {}", message.text.len(), raw.len());
    let mut names: Vec<_> = message.attachments.iter().map(|part| part.name.to_lowercase()).collect();
    let unsafe_name = |name: &String| {
        name.is_empty() || name.len() > 255 || name.contains(['/', '\\', ':', '\0', '\n', '\r', '\u{202e}'])
    };
    assert!(!names.iter().any(unsafe_name), "{names:?}");
    names.sort();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "two files of one name");
    assert!(message.attachments.iter().all(|part| !part.content_type.contains(['\r', '\n', '\0', ' '])));
}
