//! MAPI properties as a container holds them ([MS-OXTNEF] §2.1.3.4): a count, then type, id and value of each.

/// PtypString: UTF-16.
pub(super) const WIDE: u16 = 0x001f;
/// PtypObject: the id of an interface, then bytes.
pub(super) const OBJECT: u16 = 0x000d;
/// A property with many values.
const MANY: u16 = 0x1000;
/// From here on ids are only handles of names.
const NAMED: u16 = 0x8000;

/// Reads little-endian numbers off the front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (value, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(value)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn size(&mut self) -> Option<usize> {
        self.u32().map(|size| usize::try_from(size).unwrap_or(usize::MAX))
    }

    /// A value, then what fills it up to four bytes; the last filling may be missing.
    fn padded(&mut self, length: usize) -> Option<&'a [u8]> {
        let value = self.take(length)?;
        let filling = length.next_multiple_of(4).saturating_sub(length).min(self.0.len());
        self.take(filling)?;
        Some(value)
    }
}

/// One property, with the first of its values.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Property<'a> {
    /// Its id; 0 for those that have a name instead.
    pub(super) id: u16,
    /// The type of its values.
    pub(super) kind: u16,
    /// Its value.
    pub(super) value: &'a [u8],
}

impl Property<'_> {
    /// The value as a number.
    pub(super) fn number(&self) -> Option<u32> {
        Cursor(self.value).u32()
    }
}

/// All properties, as far as they can be read.
#[derive(Debug)]
pub(super) struct Properties<'a> {
    cursor: Cursor<'a>,
    left: u32,
    /// Whether one could not be read: what follows it cannot be either.
    pub(super) broken: bool,
}

impl<'a> Properties<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut cursor = Cursor(bytes);
        let left = cursor.u32();
        Self { cursor, left: left.unwrap_or_default(), broken: left.is_none() }
    }

    fn read(&mut self) -> Option<Property<'a>> {
        let cursor = &mut self.cursor;
        let (kind, mut id) = (cursor.u16()?, cursor.u16()?);
        if id >= NAMED {
            id = 0;
            name(cursor)?;
        }
        let many = kind & MANY != 0;
        let kind = kind & !MANY;
        let value = match kind {
            // Strings, objects and bytes say how long each is, and how many there are.
            0x001e | WIDE | OBJECT | 0x0102 => {
                let count = cursor.u32()?;
                let mut values = (0..count).map(|_| cursor.size().and_then(|length| cursor.padded(length)));
                let first = values.next().unwrap_or(Some(&[]))?;
                values.try_for_each(|value| value.map(drop))?;
                first
            }
            _ => {
                let count = if many { cursor.size()? } else { 1 };
                let length = width(kind)?;
                let all = cursor.padded(length.checked_mul(count)?)?;
                all.get(..length).unwrap_or_default()
            }
        };
        Some(Property { id, kind, value })
    }
}

/// Passes the name of a named property: the id of its set, then a number or a text.
fn name(cursor: &mut Cursor<'_>) -> Option<()> {
    cursor.take(16)?;
    match cursor.u32()? {
        0 => cursor.u32().map(drop),
        _ => {
            let length = cursor.size()?;
            cursor.padded(length).map(drop)
        }
    }
}

/// Bytes of a value of fixed length; those of two are filled up.
const fn width(kind: u16) -> Option<usize> {
    match kind {
        0x0000 | 0x0001 | 0x0002 | 0x0003 | 0x0004 | 0x000a | 0x000b => Some(4),
        0x0005 | 0x0006 | 0x0007 | 0x0014 | 0x0040 => Some(8),
        0x0048 => Some(16),
        _ => None,
    }
}

impl<'a> Iterator for Properties<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Property<'a>> {
        self.left = self.left.checked_sub(1)?;
        let property = self.read();
        if property.is_none() {
            self.broken = true;
            self.left = 0;
        }
        property
    }
}
