//! The container that Outlook wraps attachments and text into: `winmail.dat` ([MS-OXTNEF] §2.1). A row of attributes of a
//! message, then of its attachments; most of what is told stands in their MAPI properties.
//!
//! Never follows an attached message or an OLE object into its inside: each is one file. Never trusts a length or a count:
//! everything that is read lies in the container, once, so its size bounds time and memory.

mod props;
mod rtf;

use std::borrow::Cow;

use crate::message::text::charset;

use props::{Cursor, Properties, Property};

/// The signature in the byte order of the container ([MS-OXTNEF] §2.1.3.1).
const SIGNATURE: &[u8] = &[0x78, 0x9f, 0x3e, 0x22];
/// An attached message or OLE object begins with the id of its interface.
const INTERFACE: usize = 16;

/// What a container holds.
#[derive(Debug, Default)]
pub(crate) struct Content<'a> {
    /// The attached files, in their order.
    pub(crate) files: Vec<File<'a>>,
    /// The text of the message; empty when there is none.
    pub(crate) text: String,
    /// The HTML of the message; empty when there is none.
    pub(crate) html: String,
    /// How important the sender calls it (PidTagImportance, [MS-OXCMSG] §2.2.1.11).
    pub(crate) important: Option<bool>,
    /// Whether it could not be read to its end.
    pub(crate) broken: bool,
}

/// One attached file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct File<'a> {
    /// Its name as the sender gave it; empty when there is none.
    pub(crate) name: String,
    /// Its media type; empty when there is none.
    pub(crate) media: String,
    /// Its Content-ID without angle brackets; empty when there is none.
    pub(crate) content_id: String,
    /// Its Content-Location; empty when there is none.
    pub(crate) location: String,
    /// Its bytes.
    pub(crate) bytes: &'a [u8],
}

/// Whether the bytes begin as a container does.
pub(crate) fn is_container(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

/// Reads a container with at most `max_files` files; text is read up to about `max_text` bytes. `None` when it is none or
/// holds more.
pub(crate) fn read(bytes: &[u8], max_files: usize, max_text: usize) -> Option<Content<'_>> {
    let mut cursor = Cursor(bytes.strip_prefix(SIGNATURE)?);
    cursor.u16()?;
    let mut reader = Reader::default();
    while !cursor.0.is_empty() {
        match attribute(&mut cursor) {
            Next::Attribute(attribute) => reader.take(&attribute),
            // Many programs write a few bytes more than they should.
            Next::Foreign => break,
            Next::Cut => {
                reader.broken = true;
                break;
            }
        }
        if reader.files.len() > max_files {
            return None;
        }
    }
    Some(reader.content(max_text))
}

/// One attribute.
struct Attribute<'a> {
    of_file: bool,
    id: u16,
    value: &'a [u8],
}

enum Next<'a> {
    Attribute(Attribute<'a>),
    /// What follows is no attribute.
    Foreign,
    /// An attribute is longer than what is left.
    Cut,
}

/// Level, id, type, length, value, checksum. The checksum is passed over: what reads well is taken.
fn attribute<'a>(cursor: &mut Cursor<'a>) -> Next<'a> {
    let of_file = match cursor.u8() {
        Some(1) => false,
        Some(2) => true,
        _ => return Next::Foreign,
    };
    let head = cursor.u16().zip(cursor.u16()).zip(cursor.u32());
    let Some(((id, _kind), length)) = head else { return Next::Cut };
    let Some(value) = cursor.take(usize::try_from(length).unwrap_or(usize::MAX)) else { return Next::Cut };
    // The last checksum may be missing.
    cursor.u16();
    Next::Attribute(Attribute { of_file, id, value })
}

/// Text as it stands in the container: UTF-16, or bytes in the code page of the message.
#[derive(Debug, Clone, Copy, Default)]
struct Text<'a> {
    bytes: &'a [u8],
    wide: bool,
}

impl<'a> Text<'a> {
    fn of(property: &Property<'a>) -> Self {
        Self { bytes: property.value, wide: property.kind == props::WIDE }
    }

    /// Up to its NUL, decoded.
    fn decoded(self, charset: &str) -> String {
        if self.wide {
            let units = self.bytes.chunks_exact(2).filter_map(|pair| pair.try_into().ok().map(u16::from_le_bytes));
            return char::decode_utf16(units.take_while(|unit| *unit != 0))
                .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect();
        }
        let bytes = self.bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        decoded(bytes, charset).into_owned()
    }

    fn or(self, other: Self) -> Self {
        if self.bytes.is_empty() { other } else { self }
    }
}

/// An attachment while it is being read.
#[derive(Debug, Default)]
struct Draft<'a> {
    /// Where a name may stand, the best first: long, of eight and three letters, title, displayed.
    names: [Text<'a>; 4],
    media: Text<'a>,
    content_id: Text<'a>,
    location: Text<'a>,
    bytes: &'a [u8],
}

#[derive(Default)]
struct Reader<'a> {
    files: Vec<Draft<'a>>,
    code_page: u32,
    html_code_page: u32,
    old_body: &'a [u8],
    body: Text<'a>,
    html: Text<'a>,
    rtf: &'a [u8],
    important: Option<bool>,
    broken: bool,
}

impl<'a> Reader<'a> {
    /// The attributes of [MS-OXTNEF] §2.1.3 that matter here.
    fn take(&mut self, attribute: &Attribute<'a>) {
        let value = attribute.value;
        match (attribute.of_file, attribute.id) {
            // attAttachRendData begins an attachment.
            (true, 0x9002) => self.files.push(Draft::default()),
            // attAttachTitle
            (true, 0x8010) => self.file().names[2] = Text { bytes: value, wide: false },
            // attAttachData
            (true, 0x800f) => self.file().bytes = value,
            // attAttachment
            (true, 0x9005) => self.file_properties(value),
            // attOemCodepage
            (false, 0x9007) => self.code_page = Cursor(value).u32().unwrap_or_default(),
            // attBody
            (false, 0x800c) => self.old_body = value,
            // attMsgProps
            (false, 0x9003) => self.properties(value),
            _ => {}
        }
    }

    /// The attachment at hand; one that nothing has begun begins here.
    fn file(&mut self) -> &mut Draft<'a> {
        if self.files.is_empty() {
            self.files.push(Draft::default());
        }
        // One was pushed: the index is there.
        let last = self.files.len().saturating_sub(1);
        #[expect(clippy::indexing_slicing, reason = "the list is not empty")]
        &mut self.files[last]
    }

    fn properties(&mut self, value: &'a [u8]) {
        let mut all = Properties::new(value);
        for property in &mut all {
            match property.id {
                // PidTagImportance: 0 low, 1 normal, 2 high.
                0x0017 => self.important = property.number().map(|level| level == 2),
                // PidTagBody, PidTagRtfCompressed, PidTagBodyHtml or PidTagHtml
                0x1000 => self.body = Text::of(&property),
                0x1009 => self.rtf = property.value,
                0x1013 => self.html = Text::of(&property),
                // PidTagInternetCodepage
                0x3fde => self.html_code_page = property.number().unwrap_or_default(),
                _ => {}
            }
        }
        self.broken |= all.broken;
    }

    fn file_properties(&mut self, value: &'a [u8]) {
        let mut all = Properties::new(value);
        let file = self.file();
        for property in &mut all {
            let text = Text::of(&property);
            let [long, short, _, displayed] = &mut file.names;
            match property.id {
                // PidTagAttachLongFilename, PidTagAttachFilename, PidTagDisplayName
                0x3707 => *long = text,
                0x3704 => *short = text,
                0x3001 => *displayed = text,
                // PidTagAttachMimeTag, PidTagAttachContentId, PidTagAttachContentLocation
                0x370e => file.media = text,
                0x3712 => file.content_id = text,
                0x3713 => file.location = text,
                // PidTagAttachDataBinary, PidTagAttachDataObject
                0x3701 if property.kind == props::OBJECT => {
                    file.bytes = property.value.get(INTERFACE..).unwrap_or_default();
                }
                0x3701 => file.bytes = property.value,
                _ => {}
            }
        }
        self.broken |= all.broken;
    }

    fn content(self, max_text: usize) -> Content<'a> {
        let charset = code_page(self.code_page);
        let html_charset = if self.html_code_page == 0 { charset.clone() } else { code_page(self.html_code_page) };
        let body = self.body.or(Text { bytes: self.old_body, wide: false });
        let mut text = body.decoded(&charset);
        let mut html = self.html.decoded(&html_charset);
        let wanted = html.trim().is_empty();
        match rtf::decompressed(self.rtf, max_text).filter(|_| wanted).map(|rtf| rtf::read(&rtf, max_text)) {
            Some(rtf::Read::Html(found)) => html = found,
            Some(rtf::Read::Text(found)) if text.trim().is_empty() => text = found,
            Some(rtf::Read::Text(_)) | None => {}
        }
        let files = self.files.iter().map(|draft| draft.file(&charset)).collect();
        Content { files, text, html, important: self.important, broken: self.broken }
    }
}

impl<'a> Draft<'a> {
    fn file(&self, charset: &str) -> File<'a> {
        let line = |text: Text<'_>| text.decoded(charset).trim().to_owned();
        File {
            name: self.names.iter().map(|name| line(*name)).find(|name| !name.is_empty()).unwrap_or_default(),
            media: line(self.media).to_ascii_lowercase(),
            content_id: line(self.content_id).trim_matches(['<', '>']).to_owned(),
            location: line(self.location),
            bytes: self.bytes,
        }
    }
}

/// Text by a charset's label, or as it looks.
fn decoded<'a>(bytes: &'a [u8], charset: &str) -> Cow<'a, str> {
    charset::declared_text(bytes, charset).unwrap_or_else(|| charset::guess(bytes))
}

/// The label of a Windows code page; empty when it is not known.
fn code_page(number: u32) -> String {
    let known = match number {
        65001 => "utf-8",
        1200 => "utf-16le",
        866 => "ibm866",
        874 => "windows-874",
        932 => "shift_jis",
        936 => "gbk",
        949 | 51949 => "euc-kr",
        950 => "big5",
        10000 => "macintosh",
        20866 => "koi8-r",
        21866 => "koi8-u",
        50220..=50222 => "iso-2022-jp",
        51932 => "euc-jp",
        54936 => "gb18030",
        1250..=1258 => return format!("windows-{number}"),
        28591..=28606 => return format!("iso-8859-{}", number.saturating_sub(28590)),
        _ => "",
    };
    known.to_owned()
}
