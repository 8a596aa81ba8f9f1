use mailbridge::clock::UtcMillis;
use mailbridge::compose::{Origin, carries, compose};
use mailbridge::config::Mailbox;
use mailbridge::entity::TicketMessageEntity;
use mailbridge::ids::QueueId;
use mailbridge::message::{Depth, Rules, parse};

/// The entity of any mail is JSON that reads back to itself and keeps the lengths of the API's page.
pub(super) fn check(raw: &[u8]) {
    let file = Origin::of_file("support".parse().expect("a name"), UtcMillis(1_795_341_731_480), 100);
    let origin = Origin { queue_id: QueueId::generate(), stub: raw.len().is_multiple_of(5), ..file };
    for depth in [Depth::Full, Depth::Headers] {
        let message = parse(raw, &Rules::default(), depth);
        let entity = compose(&message, &origin, &Mailbox::default());
        let json = serde_json::to_vec(&entity).expect("an entity is JSON");
        let again: TicketMessageEntity = serde_json::from_slice(&json).expect("its JSON is an entity");
        assert_eq!(again, entity);
        assert!(!json.windows(6).any(|part| part == b"\\u0000"), "NUL leaves");
        fits(&entity);
        assert!(carries(entity.debug_info.as_deref().unwrap_or_default(), origin.queue_id));
    }
}

#[track_caller]
fn at_most(field: &Option<String>, characters: usize) {
    let count = field.as_ref().map_or(0, |text| text.encode_utf16().count());
    assert!(count <= characters, "{count} of {characters}");
}

fn fits(entity: &TicketMessageEntity) {
    at_most(&entity.author, 255);
    at_most(&entity.message_id, 850);
    at_most(&entity.mail_sorter, 255);
    at_most(&entity.search_title, 255);
    at_most(&entity.language, 10);
    for header in entity.message_headers.iter().flatten() {
        at_most(&header.name, 64);
    }
    for part in entity.attachments_info.iter().flatten() {
        at_most(&part.name, 255);
        at_most(&part.content_type, 255);
        at_most(&part.content_id, 255);
        assert!((0..=i64::from(i32::MAX)).contains(&part.att_size));
    }
}
