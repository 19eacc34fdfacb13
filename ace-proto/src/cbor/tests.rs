use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

fn is_refused(text: &str) -> bool {
    decode(&hex(text)).is_err()
}

// RFC 8949 Appendix A
#[test]
fn examples_of_the_standard_are_read_and_written() {
    for text in [
        "00",
        "17",
        "1818",
        "1903e8",
        "1a000f4240",
        "1b000000e8d4a51000",
        "1bffffffffffffffff",
        "20",
        "3863",
        "3903e7",
        "3bffffffffffffffff",
        "f4",
        "f5",
        "f6",
        "fb3ff199999999999a",
        "c074323031332d30332d32315432303a30343a30305a",
        "40",
        "4401020304",
        "60",
        "6161",
        "62c3bc",
        "80",
        "83010203",
        "8301820203820405",
        "a0",
        "a201020304",
        "a26161016162820203",
        "826161a161626163",
    ] {
        let bytes = hex(text);
        let value = decode(&bytes).map_err(|_| text).unwrap();
        assert_eq!(value.encode(), bytes, "{text}");
    }
}

// RFC 8949 §4.1
#[test]
fn longer_heads_than_needed_are_refused() {
    for text in [
        "1800",
        "1817",
        "190000",
        "1900ff",
        "1a0000ffff",
        "1b00000000ffffffff",
        "3800",
        "5800",
        "7800",
        "9800",
        "b800",
        "d800",
        "d810f6",
        "f800",
        "f814",
        "f8ff",
    ] {
        assert!(is_refused(text), "{text}");
    }
}

#[test]
fn indefinite_lengths_are_refused() {
    for text in [
        "5f4101ff", "7f6161ff", "9fff", "9f01ff", "bfff", "ff", "1c", "1f", "df01",
    ] {
        assert!(is_refused(text), "{text}");
    }
}

// RFC 8949 §5.6
#[test]
fn a_key_that_stands_twice_is_refused() {
    for text in [
        "a201000100",
        "a220002000",
        "a2616100616100",
        "a1a201000100a0",
    ] {
        assert!(is_refused(text), "{text}");
    }
}

#[test]
fn keys_in_any_order_are_read_and_sorted_when_written() {
    let bytes = hex("a4200003000100616100");
    assert!(decode(&bytes).is_ok_and(|value| value.encode() == hex("a4010003002000616100")));
}

#[test]
fn keys_other_than_labels_are_refused() {
    for text in [
        "a1400a",
        "a1800a",
        "a1f60a",
        "a1f40a",
        "a1fb00000000000000000a",
        "a1c0010a",
    ] {
        assert!(is_refused(text), "{text}");
    }
}

#[test]
fn what_is_cut_off_or_trails_is_refused() {
    let whole = hex("83010243aabbcc");
    for end in 0..whole.len() {
        assert!(decode(&whole[..end]).is_err());
    }
    assert!(is_refused("83010243aabbcc00"));
    assert!(is_refused("0000"));
    assert!(is_refused("7bffffffffffffffff"));
    assert!(is_refused("9bffffffffffffffff"));
}

#[test]
fn text_that_is_no_utf_8_and_half_floats_are_refused() {
    for text in ["61ff", "f90000", "f7", "e0", "f3"] {
        assert!(is_refused(text), "{text}");
    }
}

#[test]
fn nesting_items_and_members_have_limits() {
    let nested = |depth: usize| [vec![0x81; depth], vec![0]].concat();
    assert!(decode(&nested(MAX_DEPTH - 1)).is_ok());
    assert!(decode(&nested(MAX_DEPTH)).is_err());
    let tagged = |depth: usize| [vec![0xc1; depth], vec![0]].concat();
    assert!(decode(&tagged(MAX_DEPTH)).is_err());

    let items = |count: usize| Value::Array(vec![Value::Null; count]).encode();
    assert!(decode(&items(MAX_ITEMS - 1)).is_ok());
    assert!(decode(&items(MAX_ITEMS)).is_err());

    let members = |count: i64| Value::map((0..count).map(|i| (i, Value::Null)).collect()).encode();
    assert!(decode(&members(128)).is_ok());
    assert!(decode(&members(129)).is_err());
}

#[test]
fn integers_are_read_where_they_fit() {
    for number in [i64::MIN, -257, -1, 0, 23, 24, i64::MAX] {
        assert_eq!(Value::integer(number).as_integer(), Some(number));
    }
    assert_eq!(Value::Unsigned(u64::MAX).as_integer(), None);
    assert_eq!(Value::Negative(u64::MAX).as_integer(), None);
}

proptest! {
    #[test]
    fn what_is_read_is_written_in_the_same_length(
        bytes in prop::collection::vec(any::<u8>(), 0..64)
    ) {
        if let Ok(value) = decode(&bytes) {
            let written = value.encode();
            prop_assert!(written.len() >= bytes.len());
            prop_assert!(written.len() <= value.capacity());
            prop_assert!(decode(&written).is_ok_and(|again| again.encode() == written));
        }
    }
}
