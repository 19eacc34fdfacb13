//! A disk without space. A limit on the size of files stands for it: the system refuses in the same place.

use crate::{
    crash::{acknowledge, acknowledgements, again, directory_of_writer},
    site::{self, Site, delete, put, settings},
};
use std::process::{Command, Stdio};
use symbolon_store_lmdb::{Store, WriteError};

/// The limit, blocks of 512 bytes or of 1024, as the shell counts them.
const BLOCKS: u32 = 400;

#[test]
#[ignore = "the process whose disk is full"]
fn writes_until_there_is_no_space_and_goes_on() {
    let Some(directory) = directory_of_writer() else {
        return;
    };
    let mut store = Store::open(&settings(directory.as_ref()), 0).unwrap().store;
    let mut count = 0_u32;
    let error = loop {
        match store.write(&[put(&count.to_be_bytes(), &[1; 2_000])]) {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, WriteError::Io(_)), "{error}");
    acknowledge(&error.to_string());
    for number in 0..3 {
        let again = store.write(&[put(&[200, number], &[1; 200_000])]);
        assert!(matches!(again, Err(WriteError::Io(_))), "{again:?}");
    }
    assert_eq!(
        site::all(&store).len(),
        count as usize,
        "what was there is there"
    );
    // A deletion writes a few pages; those that are free are enough once a first one has made some.
    for number in 0..count / 2 {
        store.write(&[delete(&number.to_be_bytes())]).unwrap();
    }
    store.write(&[put(b"at last", &[2; 2_000])]).unwrap();
    acknowledge(&format!("{}", count - count / 2 + 1));
}

#[test]
fn a_disk_without_space_loses_nothing_and_the_store_goes_on() {
    let site = Site::new();
    let program = again(
        "space::writes_until_there_is_no_space_and_goes_on",
        site.path(),
    );
    let mut shell = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f {BLOCKS}; exec \"$0\" \"$@\"");
    shell
        .args(["-c", &script])
        .arg(program.get_program())
        .args(program.get_args());
    for (name, value) in program.get_envs() {
        shell.env(name, value.unwrap());
    }
    let mut child = shell.stdout(Stdio::piped()).spawn().unwrap();
    let said: Vec<String> = acknowledgements(&mut child).collect();
    assert!(child.wait().unwrap().success(), "{said:?}");
    assert!(said[0].contains("File too large"), "{said:?}");
    let store = site.store();
    assert_eq!(site::all(&store).len().to_string(), said[1]);
}
