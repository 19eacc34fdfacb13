//! A second, sloppy CBOR writer, so that tests can make what ours refuses to.

/// An item, encoded as it is told.
#[derive(Clone)]
pub(crate) enum Item {
    Int(i64),
    Bytes(Vec<u8>),
    Text(&'static str),
    Array(Vec<Self>),
    Map(Vec<(Self, Self)>),
    /// As it stands.
    Raw(Vec<u8>),
}

pub(crate) fn map(members: Vec<(i64, Item)>) -> Item {
    let labelled = members.into_iter();
    Item::Map(
        labelled
            .map(|(label, item)| (Item::Int(label), item))
            .collect(),
    )
}

pub(crate) fn raw(hex: &str) -> Item {
    Item::Raw(crate::vectors::hex(hex))
}

impl Item {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Int(number) if *number < 0 => head(1, (-1 - number).cast_unsigned()),
            Self::Int(number) => head(0, number.cast_unsigned()),
            Self::Bytes(bytes) => [head(2, bytes.len() as u64), bytes.clone()].concat(),
            Self::Text(text) => [head(3, text.len() as u64), text.as_bytes().to_vec()].concat(),
            Self::Array(items) => {
                let items = items.iter().flat_map(Self::encode);
                head(4, self.len()).into_iter().chain(items).collect()
            }
            Self::Map(members) => {
                let members = members
                    .iter()
                    .flat_map(|(label, item)| [label.encode(), item.encode()].concat());
                head(5, self.len()).into_iter().chain(members).collect()
            }
            Self::Raw(bytes) => bytes.clone(),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Array(items) => items.len() as u64,
            Self::Map(members) => members.len() as u64,
            Self::Int(_) | Self::Bytes(_) | Self::Text(_) | Self::Raw(_) => 0,
        }
    }
}

fn head(major: u8, argument: u64) -> Vec<u8> {
    let major = major << 5;
    let all = argument.to_be_bytes();
    match argument {
        0..24 => vec![major | all[7]],
        24..0x100 => vec![major | 0x18, all[7]],
        0x100..0x1_0000 => [&[major | 0x19], &all[6..]].concat(),
        0x1_0000..0x1_0000_0000 => [&[major | 0x1a], &all[4..]].concat(),
        0x1_0000_0000.. => [&[major | 0x1b], &all[..]].concat(),
    }
}
