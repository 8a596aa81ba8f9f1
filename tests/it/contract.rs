//! The sandbox's own table of the API, compared with the API's description where that is at hand, and with itself.

use std::path::PathBuf;

use mailbridge::sandbox::contract::{self, Kind, Record};
use serde_json::{Value, json};

/// The description of the API, when the folder that `MAILBRIDGE_API_SPEC` names has it.
fn specification() -> Option<Value> {
    let folder = PathBuf::from(std::env::var_os("MAILBRIDGE_API_SPEC")?);
    let file = folder.join("Swagger-v1-TicketMessage.json");
    Some(serde_json::from_slice(&std::fs::read(file).ok()?).unwrap())
}

#[test]
fn the_table_says_what_the_description_of_the_api_says() {
    let Some(specification) = specification() else {
        #[expect(clippy::print_stderr, reason = "a test that compared nothing says so")]
        {
            eprintln!("MAILBRIDGE_API_SPEC names no folder with Swagger-v1-TicketMessage.json: nothing was compared");
        }
        return;
    };
    for route in contract::ROUTES {
        let operation = &specification["paths"][route.path][route.method.to_ascii_lowercase()];
        let parameters = operation["parameters"].as_array().unwrap();
        let query = parameters.iter().filter(|parameter| parameter["in"] == "query");
        let described: Vec<_> = query.map(|p| (p["name"].as_str().unwrap(), p["type"].as_str().unwrap())).collect();
        let ours: Vec<_> = route.query.iter().map(|(name, kind)| (*name, type_of(*kind))).collect();
        assert_eq!(described, ours, "{} {}", route.method, route.path);
        let headers = parameters.iter().filter(|parameter| parameter["in"] == "header");
        let unknown: Vec<_> = headers
            .map(|parameter| parameter["name"].as_str().unwrap())
            .filter(|name| *name != "Accept-Language" && !contract::HEADERS.contains(name))
            .collect();
        assert_eq!(unknown, Vec::<&str>::new());
        let body = parameters.iter().find(|parameter| parameter["in"] == "body");
        let body = body.map(|body| body["schema"]["$ref"].as_str().unwrap().rsplit('.').next().unwrap());
        assert_eq!(body, route.body.map(|record| record.name));
    }
    for record in contract::RECORDS {
        compare_record(record, &specification["definitions"]);
    }
}

#[track_caller]
fn compare_record(record: &Record, definitions: &Value) {
    let key = format!("SuperOffice.CRM.Services.{}", record.name);
    let properties = definitions[&key]["properties"].as_object().unwrap();
    for field in record.fields {
        let place = format!("{}.{}", record.name, field.name);
        let property = properties.get(field.name).unwrap_or_else(|| panic!("{place} is not in the description"));
        compare_kind(&place, field.kind, property);
    }
    if record.complete {
        let missing: Vec<_> =
            properties.keys().filter(|name| !record.fields.iter().any(|field| field.name == name.as_str())).collect();
        assert_eq!(missing, Vec::<&String>::new(), "{} lacks fields", record.name);
    }
}

#[track_caller]
fn compare_kind(place: &str, kind: Kind, property: &Value) {
    let reference = |property: &Value| {
        property["$ref"].as_str().unwrap_or_default().rsplit('.').next().unwrap_or_default().to_owned()
    };
    match kind {
        Kind::Object(record) => assert_eq!(reference(property), record.name, "{place}"),
        Kind::Array(record) => assert_eq!(reference(&property["items"]), record.name, "{place}"),
        Kind::AnswerOnly => {}
        Kind::Texts => assert_eq!(property["additionalProperties"]["type"], "string", "{place}"),
        Kind::Word(words) => assert_eq!(property["enum"], json!(words), "{place}"),
        Kind::Date => assert_eq!(property["format"], "date-time", "{place}"),
        Kind::Int => assert_eq!(property["format"], "int32", "{place}"),
        Kind::Bool | Kind::Text(_) => assert_eq!(property["type"], type_of(kind), "{place}"),
    }
}

fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "integer",
        Kind::Bool => "boolean",
        Kind::Date | Kind::Text(_) | Kind::Word(_) => "string",
        Kind::Array(_) => "array",
        Kind::Object(_) | Kind::Texts | Kind::AnswerOnly => "object",
    }
}

/// The smallest body, with one member set.
#[track_caller]
fn check(name: &str, value: Value, expected: &[&str]) {
    let body = Value::Object([(name.to_owned(), value)].into_iter().collect());
    let wrong = contract::check_body(&contract::TICKET_MESSAGE, &body);
    assert_eq!(wrong, expected);
}

#[test]
fn what_is_in_order_passes() {
    check("CreatedAt", json!("2023-11-02T14:13:49.3836927+01:00"), &[]);
    check("CreatedAt", json!("0001-01-01T00:00:00"), &[]);
    check("CreatedAt", json!("2026-11-22T10:02:11Z"), &[]);
    check("CreatedAt", json!("2026-11-22T10:02:11+0100"), &[]);
    check("Ticket", Value::Null, &[]);
    check("Ticket", json!({ "TicketId": 4711 }), &[]);
    check("Author", json!("x".repeat(255)), &[]);
    check("CustomFields", json!({ "x_name": "value" }), &[]);
    check("MessageHeaders", json!([{ "Name": "To", "Value": "a@example.com", "StdItem": "None" }]), &[]);
}

#[test]
fn what_is_outside_the_contract_is_named() {
    check("MesageId", json!("<a@example.com>"), &["TicketMessageEntity.MesageId: unknown member"]);
    check(
        "EjMessageId",
        json!("1"),
        &["TicketMessageEntity.EjMessageId: should be a 32-bit integer, is text of 1 characters"],
    );
    check(
        "TimeSpent",
        json!(2_147_483_648_i64),
        &["TicketMessageEntity.TimeSpent: should be a 32-bit integer, is 2147483648"],
    );
    check("CreatedAt", Value::Null, &["TicketMessageEntity.CreatedAt: may not be null"]);
    check(
        "Type",
        json!("HTML"),
        &["TicketMessageEntity.Type: should be one of Unknown, Plain, Html, is text of 4 characters"],
    );
    check(
        "TableRight",
        Value::Null,
        &["TicketMessageEntity.TableRight: should be absent: it is part of answers only, is null"],
    );
    check("Ticket", json!({ "Id": 1 }), &["TicketMessageEntity.Ticket.Id: unknown member"]);
    check(
        "Author",
        json!("😀".repeat(128)),
        &["TicketMessageEntity.Author: should be text of at most 255 characters, is text of 256 characters"],
    );
    check(
        "AttachmentsInfo",
        json!([{}, { "AttSize": 1.5 }]),
        &["TicketMessageEntity.AttachmentsInfo[1].AttSize: should be a 32-bit integer, is 1.5"],
    );
    for date in
        ["2026-11-22", "2026-11-22 10:02:11", "2026-13-22T10:02:11Z", "2026-11-22T10:02:11.Z", "2026-11-22T10:02:11+1"]
    {
        let wrong = contract::check_body(&contract::TICKET_MESSAGE, &json!({ "CreatedAt": date }));
        assert_eq!(wrong.len(), 1, "{date}");
    }
}

#[test]
fn headers_outside_the_contract_are_named() {
    let check = |name: &str, text: &str, expected: usize| {
        let headers = [("Content-Type".to_owned(), "application/json".to_owned()), (name.to_owned(), text.to_owned())];
        assert_eq!(contract::check_headers(&headers, true).len(), expected, "{name}: {text}");
    };
    check("Authorization", "sOtIcKeT 7T:abc", 0);
    check("Authorization", "Digest abc", 1);
    check("Accept", "application/json; charset=utf-8", 0);
    check("Accept", "text/html", 1);
    check("so-timezone", "UTC, includeTZOffset", 0);
    check("SO-AppTokn", "x", 1);
    assert_eq!(contract::check_headers(&[("Content-Type".to_owned(), "text/plain".to_owned())], true).len(), 1);
}
