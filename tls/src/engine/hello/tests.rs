use super::*;

fn vector8(content: &[u8]) -> Vec<u8> {
    [&[u8::try_from(content.len()).unwrap()], content].concat()
}

fn vector16(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    [&length.to_be_bytes(), content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector16(content)].concat()
}

fn tls13() -> Vec<u8> {
    extension(SUPPORTED_VERSIONS, &vector8(&[3, 4, 3, 3]))
}

fn psk(identities: &[(&[u8], u32)]) -> Vec<u8> {
    let identities: Vec<_> = identities
        .iter()
        .flat_map(|(identity, age)| [&vector16(identity)[..], &age.to_be_bytes()].concat())
        .collect();
    let binders = vector16(&vector8(&[0; 32]));
    extension(PRE_SHARED_KEY, &[vector16(&identities), binders].concat())
}

/// A `ClientHello` in records of so many bytes.
fn hello(suites: &[u8], extensions: &[Vec<u8>], record_bytes: usize) -> Vec<u8> {
    let body = [
        &[3, 3][..],
        &[7; 32],
        &vector8(&[9; 32]),
        &vector16(suites),
        &vector8(&[0]),
        &vector16(&extensions.concat()),
    ]
    .concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[CLIENT_HELLO], &length[1..], &body].concat();
    let record = |fragment: &[u8]| [&[HANDSHAKE_RECORD, 3, 1][..], &vector16(fragment)].concat();
    message.chunks(record_bytes).flat_map(record).collect()
}

fn look(records: &[u8]) -> Option<Hello> {
    let mut beginning = Beginning {
        records: records.to_vec(),
        ..Beginning::default()
    };
    beginning.look()
}

fn offer(records: &[u8]) -> Offer {
    match look(records) {
        Some(Hello::Offer(offer)) => offer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_offered_is_told_however_it_is_cut_into_records() {
    let extensions = [
        tls13(),
        extension(CLIENT_CERTIFICATE_TYPE, &vector8(&[X509, RAW_PUBLIC_KEY])),
        extension(
            SERVER_CERTIFICATE_TYPE,
            &vector8(&[1, RAW_PUBLIC_KEY, X509]),
        ),
        psk(&[(b"known", 0), (&[0xFF; 8000], 0)]),
    ];
    let expected = Offer {
        tls13: true,
        external_keys: 2,
        psk_suite: true,
        raw_keys: RawKeys {
            client: true,
            server: true,
        },
    };
    for record_bytes in [3, 100, 16_384] {
        let records = hello(&[0x13, 1, 0xD0, 1], &extensions, record_bytes);
        assert_eq!(offer(&records), expected);
        assert_eq!(look(&records[..records.len() - 1]), None);
    }
    assert_eq!(
        offer(&hello(&[0x13, 1, 0xC0, 0x2B], &[], 512)),
        Offer::default()
    );
}

// RFC 7250 §4.1: the client's list is in its order of preference.
#[test]
fn a_client_that_likes_a_certificate_better_gets_one() {
    let types = extension(SERVER_CERTIFICATE_TYPE, &vector8(&[X509, RAW_PUBLIC_KEY]));
    assert!(!offer(&hello(&[0x13, 1], &[types], 512)).raw_keys.server);
}

#[test]
fn tickets_are_no_external_keys() {
    let tickets = [tls13(), psk(&[(b"a ticket", 12345), (b"another", 1)])];
    assert_eq!(offer(&hello(&[0x13, 1], &tickets, 512)).external_keys, 0);
    let one_of_each = [tls13(), psk(&[(b"a ticket", 12345), (b"external", 0)])];
    assert_eq!(
        offer(&hello(&[0x13, 1], &one_of_each, 512)).external_keys,
        2
    );
}

#[test]
fn the_largest_identity_fits() {
    let extensions = [tls13(), psk(&[(&vec![0xFF; 62_000], 0)])];
    assert_eq!(
        offer(&hello(&[0x13, 1], &extensions, 16_384)).external_keys,
        1
    );
}

#[test]
fn what_is_too_long_or_split_too_finely_is_not_waited_for() {
    let claims = [HANDSHAKE_RECORD, 3, 1, 0, 4, CLIENT_HELLO, 1, 0x11, 0];
    assert_eq!(look(&claims[..8]), None);
    let claims = [HANDSHAKE_RECORD, 3, 1, 0, 4, CLIENT_HELLO, 2, 0, 0];
    assert_eq!(look(&claims), Some(Hello::Unreadable));
    let extensions = [tls13(), psk(&[(&vec![0xFF; 62_000], 0)])];
    let records = hello(&[0x13, 1], &extensions, 1);
    assert_eq!(look(&records[..RECORDS_LIMIT - 1]), None);
    assert_eq!(look(&records[..RECORDS_LIMIT]), Some(Hello::Unreadable));
}

#[test]
fn what_is_no_hello_is_known_at_once() {
    for records in [
        &b"GET / HTTP/1.1"[..],
        &[0x10],
        &[22, 3, 1, 0, 0],
        &[22, 3, 1, 0, 4, 2, 0, 0, 0],
    ] {
        assert_eq!(look(records), Some(Hello::Unreadable));
    }
}

/// Bytes changed at random, from a fixed seed: nothing panics, and nothing is looked at for ever.
#[test]
fn broken_hellos_do_no_harm() {
    let extensions = [
        tls13(),
        psk(&[(b"identity", 0)]),
        extension(CLIENT_CERTIFICATE_TYPE, &[1, 2]),
    ];
    let whole = hello(&[0x13, 1, 0, 0x8A], &extensions, 40);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut read = 0;
    for _ in 0..20_000 {
        let mut records = whole.clone();
        for _ in 0..=random(4) {
            let at = random(records.len());
            records[at] = u8::try_from(random(256)).unwrap();
        }
        records.truncate(records.len() - random(2) * random(records.len()));
        read += usize::from(matches!(look(&records), Some(Hello::Offer(_))));
    }
    assert!((1000..19_000).contains(&read), "{read}");
}
