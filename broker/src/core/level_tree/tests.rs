use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn tree() -> LevelTree<u32> {
    LevelTree::new(HashSeed::from_words([1, 2, 3, 4]))
}

fn insert(tree: &mut LevelTree<u32>, text: &str, value: u32) -> Option<u32> {
    let node = tree.place(text.as_bytes());
    tree.value_mut(node).replace(value)
}

fn remove(tree: &mut LevelTree<u32>, text: &str) -> Option<u32> {
    let node = tree.find(text.as_bytes())?;
    let value = tree.value_mut(node).take();
    tree.prune(node);
    value
}

#[test]
fn a_node_is_a_cache_line() {
    assert_eq!(size_of::<Node<[u32; 3]>>(), 64);
}

#[test]
fn levels_without_a_fork_are_one_node() {
    let mut tree = tree();
    insert(&mut tree, "devices/1/+/cmd", 1);
    assert_eq!(tree.node_count(), 1);
    insert(&mut tree, "devices/2/+/cmd", 2);
    assert_eq!(tree.node_count(), 3);
    insert(&mut tree, "devices/2/+", 3);
    assert_eq!(tree.node_count(), 4);
    remove(&mut tree, "devices/1/+/cmd");
    assert_eq!(tree.node_count(), 2);
    remove(&mut tree, "devices/2/+");
    assert_eq!(tree.node_count(), 1);
    remove(&mut tree, "devices/2/+/cmd");
    assert_eq!(tree.node_count(), 0);
}

#[test]
fn empty_levels_are_levels() {
    let mut tree = tree();
    for (value, text) in (0..).zip(["/", "//", "a/", "/a", "a//b", "a", "///"]) {
        insert(&mut tree, text, value);
    }
    for (value, text) in (0..).zip(["/", "//", "a/", "/a", "a//b", "a", "///"]) {
        let node = tree.find(text.as_bytes()).unwrap();
        assert_eq!(tree.value(node), Some(&value), "{text}");
    }
    assert_eq!(tree.find(b"a//"), None);
    assert_eq!(tree.find(b"////"), None);
}

#[test]
fn a_text_of_32768_levels_fits() {
    let mut tree = tree();
    let deep = "/".repeat(32_767);
    insert(&mut tree, &deep, 1);
    for cut in 1..2000 {
        insert(&mut tree, &deep[..cut], 2);
    }
    assert!(tree.find(deep.as_bytes()).is_some());
    for cut in 1..2000 {
        remove(&mut tree, &deep[..cut]);
    }
    assert_eq!(remove(&mut tree, &deep), Some(1));
    assert_eq!(tree.node_count(), 0);
}

#[test]
fn all_is_all_but_what_begins_with_a_dollar() {
    // [MQTT-4.7.2-1]
    let mut tree = tree();
    for (value, text) in (0..).zip(["a", "a/b", "$SYS", "$SYS/a", "b/$a", "/", "a/b/c"]) {
        insert(&mut tree, text, value);
    }
    let mut seen = Vec::new();
    tree.for_each_under(b"#", |value| seen.push(*value));
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 4, 5, 6]);
}

proptest! {
    #[test]
    fn it_is_a_map_and_has_no_node_too_many(
        steps in prop::collection::vec((any::<bool>(), "[ab+]?(/[ab+]?){0,4}(/#)?", 0_u32..100), 0..200)
    ) {
        let mut tree = tree();
        let mut model = BTreeMap::new();
        for (adds, text, value) in steps {
            if adds {
                prop_assert_eq!(insert(&mut tree, &text, value), model.insert(text, value));
            } else {
                prop_assert_eq!(remove(&mut tree, &text), model.remove(&text));
            }
            let mut seen = BTreeMap::new();
            tree.for_each(|text, value| assert_eq!(seen.insert(text.to_owned(), *value), None));
            prop_assert_eq!(&seen, &model);
            // Each node without a value has at least two children, so they are fewer than those with one.
            prop_assert!(tree.node_count() < 2 * model.len().max(1));
        }
        for text in model.keys() {
            prop_assert!(remove(&mut tree, text).is_some());
        }
        prop_assert_eq!(tree.node_count(), 0);
    }
}
