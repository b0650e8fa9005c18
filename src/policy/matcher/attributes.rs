//! Attributes read from descriptor entries: which entry keys feed which attribute.
//!
//! An attribute comes from the entry of its own name, else from the first present key of its
//! list; of several entries with one key the first counts. Attributes are numbered by slots, so
//! that rules find a value by position and not by name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::policy::model::{AttributeKeys, FieldValue, Row, Rows, Table};
use crate::policy::template;
use crate::policy::words::ByText;
use crate::request::Entry;

/// Keys that feed the well-known attributes unless a policy says otherwise.
const BUILT_IN: [(&str, &[&str]); 3] = [
    ("ip", &["remote_address", "masked_remote_address"]),
    ("method", &[":method"]),
    ("endpoint", &["path", ":path"]),
];

pub const ENDPOINT: &str = "endpoint";
pub const METHOD: &str = "method";
pub const IP: &str = "ip";

/// The number of an attribute within its domain.
pub type Slot = usize;

/// The attributes that the rules of one domain name.
#[derive(Debug, Default)]
pub struct Attributes {
    names: Vec<String>,
    slots: HashMap<String, Slot>,
    /// Which slots an entry key may fill, each with its rank: the lowest rank present wins.
    feeds: ByText<Feeds>,
    endpoint: Option<Slot>,
    ip: Option<Slot>,
    declared: Vec<AttributeKeys>,
    /// As many as the policy has, in its order: that of their names.
    tables: Vec<CompiledTable>,
    /// The field that a slot stands for, where it stands for one.
    fields: Vec<Option<Field>>,
    /// The slots that stand for a field: most domains have none, and every request reads them.
    field_slots: Vec<Slot>,
}

/// A table that rules ask, or that they do not.
#[derive(Debug)]
struct CompiledTable {
    name: String,
    /// The attribute that chooses the row; `None` where no rule asks for the table.
    key: Option<Slot>,
    /// Those of the named rows, from 1 on.
    positions: HashMap<Box<[u8]>, u32>,
    rows: Arc<Rows>,
}

/// A field of a table.
#[derive(Clone, Debug)]
pub struct Field {
    pub table: usize,
    /// The slot of the attribute that chooses the row.
    pub key: Slot,
    name: String,
}

impl CompiledTable {
    fn new(table: &Table) -> Self {
        let positions = table.rows.named.iter().map(|(name, _)| name.as_bytes().into()).zip(1..);
        Self {
            name: table.name.value.clone(),
            key: None,
            positions: positions.collect(),
            rows: Arc::clone(&table.rows),
        }
    }

    /// The row for a value: 0 is the default row.
    fn position(&self, value: &[u8]) -> Option<u32> {
        let own = self.positions.get(value).copied();
        own.or_else(|| self.rows.default.is_some().then_some(0))
    }

    fn row(&self, position: u32) -> Option<&Row> {
        match position.checked_sub(1) {
            None => self.rows.default.as_ref(),
            Some(position) => self.rows.named.get(position as usize).map(|(_, row)| row),
        }
    }
}

/// What one key may fill: mostly one slot.
#[derive(Debug, Default)]
struct Feeds {
    first: Option<Feed>,
    more: Vec<Feed>,
}

#[derive(Clone, Copy, Debug)]
struct Feed {
    slot: Slot,
    rank: u16,
}

impl Attributes {
    pub fn new(declared: &[AttributeKeys], tables: &[Table]) -> Self {
        let tables = tables.iter().map(CompiledTable::new).collect();
        Self { declared: declared.to_vec(), tables, ..Self::default() }
    }

    /// The attribute that chooses the row of a table, by the table's position.
    pub fn table_key(&mut self, table: usize) -> Slot {
        if let Some(key) = self.tables[table].key {
            return key;
        }
        let name = self.tables[table].name.clone();
        let key = self.slot(&name);
        self.tables[table].key = Some(key);
        key
    }

    /// The field that a slot stands for.
    pub fn field(&self, slot: Slot) -> Option<&Field> {
        self.fields.get(slot)?.as_ref()
    }

    /// The row of a table for a value of its attribute.
    pub fn row_position(&self, table: usize, value: &[u8]) -> Option<u32> {
        self.tables[table].position(value)
    }

    /// What a field is in the row for a value.
    pub fn field_value(&self, field: &Field, value: &[u8]) -> Option<&FieldValue> {
        let table = &self.tables[field.table];
        table.row(table.position(value)?)?.get(&field.name)
    }

    /// The row of a table for a value of its attribute, and whether it is the default row.
    pub fn row(&self, table: usize, value: &[u8]) -> Option<(&Row, bool)> {
        let position = self.tables[table].position(value)?;
        self.tables[table].row(position).map(|row| (row, position == 0))
    }

    /// Every table with its rows by name, the default row as `default`.
    pub fn tables(&self) -> impl Iterator<Item = (&str, BTreeMap<&[u8], &Row>)> {
        self.tables.iter().map(|table| {
            let named = table.positions.iter();
            let named = named.filter_map(|(name, row)| Some((name.as_ref(), table.row(*row)?)));
            let default = table.rows.default.iter().map(|row| (b"default".as_slice(), row));
            (table.name.as_str(), default.chain(named).collect())
        })
    }

    /// The slot of an attribute, made at its first use.
    pub fn slot(&mut self, name: &str) -> Slot {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        let slot = self.names.len();
        self.names.push(name.to_owned());
        self.slots.insert(name.to_owned(), slot);
        self.fields.push(None);
        let field = name.split_once('.').and_then(|(table, field)| {
            let found = self.tables.binary_search_by(|known| known.name.as_str().cmp(table));
            Some((found.ok()?, field))
        });
        if let Some((table, field)) = field {
            let key = self.table_key(table);
            self.fields[slot] = Some(Field { table, key, name: field.to_owned() });
            self.field_slots.push(slot);
            return slot;
        }
        // Of more keys than that the last ones would never be read.
        for (rank, key) in (0..u16::MAX).zip(self.keys_of(name)) {
            let feeds = self.feeds.or_default(key.as_bytes());
            let feed = Feed { slot, rank };
            match feeds.first {
                None => feeds.first = Some(feed),
                Some(_) => feeds.more.push(feed),
            }
        }
        match name {
            ENDPOINT => self.endpoint = Some(slot),
            IP => self.ip = Some(slot),
            _ => {}
        }
        slot
    }

    pub fn name(&self, slot: Slot) -> &str {
        &self.names[slot]
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The entry keys an attribute is read from, best first.
    pub fn keys_of(&self, name: &str) -> Vec<String> {
        let declared = self.declared.iter().find(|keys| keys.attribute == name);
        let mut keys = vec![name.to_owned()];
        match declared {
            Some(declared) => keys.extend(declared.keys.iter().cloned()),
            None => {
                let built_in = BUILT_IN.iter().find(|(attribute, _)| *attribute == name);
                keys.extend(
                    built_in.into_iter().flat_map(|(_, keys)| *keys).map(|key| (*key).to_owned()),
                );
            }
        }
        keys
    }

    /// Makes room for the values of one descriptor after the other.
    #[inline]
    pub fn values<'v>(&self) -> Values<'v> {
        Values {
            by_slot: SmallVec::from_elem(Seat::EMPTY, self.names.len()),
            made: SmallVec::new(),
            has_made: false,
            ip: None,
            entry_count: 0,
        }
    }

    /// Puts the values that one descriptor gives to the attributes in the place of those before.
    pub fn read<'v>(&'v self, entries: &[Entry<'v>], values: &mut Values<'v>) {
        let seats = values.by_slot.as_mut_slice();
        seats.fill(Seat::EMPTY);
        if values.has_made {
            values.made.clear();
            values.has_made = false;
        }
        values.ip = None;
        values.entry_count = entries.len();
        for entry in entries {
            let Some(feeds) = self.feeds.get(entry.key) else { continue };
            if let Some(feed) = feeds.first {
                seats[feed.slot].offer(entry.value, feed.rank);
            }
            for feed in &feeds.more {
                seats[feed.slot].offer(entry.value, feed.rank);
            }
        }
        if let Some(slot) = self.endpoint
            && let Some(path) = seats[slot].value
        {
            match template::canonical(path) {
                Cow::Borrowed(path) => seats[slot].value = Some(path),
                Cow::Owned(path) => values.make(slot, path),
            }
        }
        if let Some(slot) = self.ip
            && values.by_slot[slot].value.is_some()
        {
            values.read_address(slot);
        }
        if !self.field_slots.is_empty() {
            self.read_fields(values);
        }
    }

    #[inline(never)]
    fn read_fields<'v>(&'v self, values: &mut Values<'v>) {
        for slot in self.field_slots.iter().copied() {
            if let Some(field) = self.field(slot)
                && let Some(key) = values.get(field.key)
                && let Some(value) = self.field_value(field, key)
            {
                values.by_slot[slot].value = Some(value.text.as_bytes());
            }
        }
    }

    #[inline]
    pub fn endpoint<'v>(&self, values: &'v Values<'_>) -> Option<&'v [u8]> {
        self.endpoint.and_then(|slot| values.get(slot))
    }
}

/// What one descriptor says, by slot.
#[derive(Debug)]
pub struct Values<'r> {
    by_slot: SmallVec<[Seat<'r>; 8]>,
    /// Those that are not as they came, and take the place of what did.
    made: SmallVec<[(Slot, Vec<u8>); 1]>,
    has_made: bool,
    /// The address, or the masked network, that the attribute `ip` names.
    ip: Option<IpNet>,
    pub entry_count: usize,
}

/// The value of one slot.
#[derive(Clone, Copy, Debug)]
struct Seat<'r> {
    value: Option<&'r [u8]>,
    /// Of the key that it came from; nothing has a rank as high as this one without.
    rank: u16,
}

impl<'r> Seat<'r> {
    const EMPTY: Self = Self { value: None, rank: u16::MAX };

    /// Of several keys that of the lowest rank has the seat, of several entries with it the first.
    #[inline]
    fn offer(&mut self, value: &'r [u8], rank: u16) {
        if rank < self.rank {
            *self = Self { value: Some(value), rank };
        }
    }
}

impl Values<'_> {
    #[inline]
    pub fn get(&self, slot: Slot) -> Option<&[u8]> {
        match self.has_made {
            false => self.by_slot[slot].value,
            true => self.made(slot),
        }
    }

    /// What the address says; it then has the one spelling.
    #[inline(never)]
    fn read_address(&mut self, slot: Slot) {
        let Some(network) = self.get(slot).and_then(parse_network) else { return };
        self.ip = Some(network);
        // A lone IPv4 address that parses has no other spelling.
        if self.get(slot).is_some_and(|text| !text.iter().all(is_plain_ipv4)) {
            self.make(slot, canonical_address(network).into_bytes());
        }
    }

    fn make(&mut self, slot: Slot, value: Vec<u8>) {
        self.made.push((slot, value));
        self.has_made = true;
    }

    #[cold]
    fn made(&self, slot: Slot) -> Option<&[u8]> {
        let made = self.made.iter().find(|(made, _)| *made == slot);
        made.map_or(self.by_slot[slot].value, |(_, value)| Some(value))
    }

    pub fn ip(&self) -> Option<&IpNet> {
        self.ip.as_ref()
    }
}

fn is_plain_ipv4(byte: &u8) -> bool {
    byte.is_ascii_digit() || *byte == b'.'
}

/// One spelling for each address and each network, so that a caller has one counter.
fn canonical_address(network: IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}

/// `192.0.2.7`, `2001:db8::1` or a masked `192.0.2.0/24`; IPv4 inside IPv6 counts as IPv4.
fn parse_network(text: &[u8]) -> Option<IpNet> {
    let text = std::str::from_utf8(text).ok()?.trim();
    if text.contains('/') {
        return text.parse::<IpNet>().ok().map(|net| net.trunc());
    }
    let address: std::net::IpAddr = text.parse().ok()?;
    Some(IpNet::from(address.to_canonical()))
}
