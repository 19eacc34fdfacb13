//! Gives memory that was freed back to the system. The allocator of glibc keeps what lies between pages that are in use until it is asked.

/// Asks the allocator to give back what it does not use; whether it gave anything. Takes milliseconds where much was freed, during which
/// other threads may have to wait for memory: call it when little is going on. Does nothing where the allocator is not glibc's.
pub fn give_back_freed_memory() -> bool {
    trim()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "the allocator can only be asked by a foreign call"
)]
fn trim() -> bool {
    // SAFETY: it takes a number, may be called by any thread at any time, and touches only memory that is free.
    let gave = unsafe { libc::malloc_trim(0) };
    gave == 1
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() -> bool {
    false
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn what_lies_between_pages_in_use_is_given_back() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("RssAnon:"));
            let kibibytes = line.and_then(|rest| rest.split_whitespace().next());
            kibibytes
                .and_then(|text| text.parse::<u64>().ok())
                .unwrap_or_default()
        };
        // Small pieces, of which every hundredth stays: nothing can be cut off at the end.
        let mut pieces: Vec<Option<Box<[u8; 1000]>>> =
            (0..100_000).map(|_| Some(Box::new([1; 1000]))).collect();
        for (number, piece) in pieces.iter_mut().enumerate() {
            if number % 100 != 0 {
                *piece = None;
            }
        }
        let before = resident();
        assert!(super::give_back_freed_memory());
        let after = resident();
        assert!(
            after + 50_000 < before,
            "{before} KiB before, {after} KiB after"
        );
        assert_eq!(pieces.iter().flatten().count(), 1_000);
    }
}
