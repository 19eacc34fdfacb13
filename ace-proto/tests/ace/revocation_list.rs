//! The token revocation list of RFC 9770.

use symbolon_ace_proto::{
    TokenHash,
    revocation_list::{DiffEntry, QueryError, RevocationList},
};

use crate::vectors::hex;

fn hash(byte: &str) -> TokenHash {
    TokenHash::from_bytes(&hex(&format!("01{}", byte.repeat(32)))).unwrap()
}

#[test]
fn answers_come_back() {
    let hashes = [hash("01"), hash("02")];
    let entry = DiffEntry {
        removed: vec![hashes[0]],
        added: hashes.to_vec(),
    };
    for list in [
        RevocationList::Full {
            hashes: hashes.to_vec(),
            cursor: Some(7),
        },
        RevocationList::Full {
            hashes: Vec::new(),
            cursor: None,
        },
        RevocationList::Diff {
            entries: vec![entry, DiffEntry::default()],
            cursor: Some(0),
            more: true,
        },
        RevocationList::Diff {
            entries: Vec::new(),
            cursor: None,
            more: true,
        },
    ] {
        assert_eq!(RevocationList::from_cbor(&list.to_cbor()), Ok(list));
    }
}

// RFC 9770 §7 and §8: the numbers of the parameters.
#[test]
fn answers_have_the_numbers_of_the_standard() {
    let empty = RevocationList::Full {
        hashes: Vec::new(),
        cursor: None,
    };
    assert_eq!(empty.to_cbor(), hex("a2008002f6"));
    let lost = RevocationList::Diff {
        entries: Vec::new(),
        cursor: None,
        more: true,
    };
    assert_eq!(lost.to_cbor(), hex("a3018002f603f5"));
    let one = RevocationList::Full {
        hashes: vec![hash("ab")],
        cursor: Some(0),
    };
    let expected = format!("a20081582101{}0200", "ab".repeat(32));
    assert_eq!(one.to_cbor(), hex(&expected));
}

// RFC 9770 §5.1
#[test]
fn a_refused_query_is_told_what_is_wrong() {
    let error = |error: QueryError| error.to_cbor();
    assert!(error(QueryError::InvalidDiff).starts_with(&hex("a301a10000")[..1]));
    let contains = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|found| found == part);
    // ace-trl-error: {0: id, 1: cursor}
    assert!(contains(&error(QueryError::InvalidDiff), &hex("01a10000")));
    assert!(contains(&error(QueryError::CursorAlone), &hex("01a10001")));
    assert!(contains(
        &error(QueryError::InvalidCursor(None)),
        &hex("01a2000001f6")
    ));
    assert!(contains(
        &error(QueryError::OutOfBound(5)),
        &hex("01a200020105")
    ));
}

#[test]
fn malformed_answers_are_refused() {
    for bytes in [
        "",
        "80",
        "a0",
        "a10000",
        "a1008100",
        "a1018180",
        "a2008002616e",
    ] {
        assert!(RevocationList::from_cbor(&hex(bytes)).is_err(), "{bytes}");
    }
}
