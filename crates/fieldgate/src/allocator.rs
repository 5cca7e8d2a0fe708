//! Huge pages for what the gateway remembers. The C library's allocator reads its settings before `main`, so `run` sets
//! them and starts this program anew.
//!
//! A thousand devices are 30 MB that are used once a second, a little at each poll. With pages of 4 KiB the processor
//! finds neither these bytes nor where they are in its caches; with pages of 2 MiB it knows where they are, and a poll
//! costs half. Figures, also of other allocators: `tests/benches/README.md`.

use std::os::unix::process::CommandExt;
use std::{env, fs, process};

/// What the allocator reads (glibc 2.35 and later for huge pages; other C libraries do not look at it).
const VARIABLE: &str = "GLIBC_TUNABLES";

/// One arena for all threads, so that few huge pages are full instead of many half empty. At its end 4 MiB that are free
/// go back to the system; as this is set, blocks of 128 KiB and more always do.
const ARENA: &str = "glibc.malloc.arena_max=1:glibc.malloc.trim_threshold=4194304";

/// Asks for huge pages where the system gives them to those who ask. The heap grows by two of them at a time: it begins in
/// the middle of one, so that one alone would leave its first 2 MiB in small pages.
const HUGE: &str = "glibc.malloc.hugetlb=1:glibc.malloc.top_pad=2097152";

/// Where the kernel tells the size of a huge page (Documentation/admin-guide/mm/transhuge.rst).
const HUGE_SIZE: &str = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";

/// Whether the system gives huge pages to all, to those who ask, or to none (the same document).
const WHO_HAS_THEM: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// Tells this program how often it has started itself.
const STARTS: &str = "FIELDGATE_STARTS";

/// How often it does. glibc 2.36 compares what it reads from [`WHO_HAS_THEM`] with one byte more that is whatever its stack
/// held, and then asks for no huge pages. If the program's path has more than some 30 bytes, this happens to a start in
/// two, by the place of the stack. Newer ones end the text.
const MOST_STARTS: u32 = 20;

/// The largest huge page that is worth its memory, in bytes. With pages of 16 KiB it has 32 MiB, twice a small gateway.
const LARGEST: u64 = 2 << 20;

/// Starts this program anew, in its own place, until the settings are taken. Those that someone else has set stay.
pub(crate) fn tune() {
    let size = fs::read_to_string(HUGE_SIZE).ok();
    let settings = settings(size.as_deref());
    let starts = match env::var_os(VARIABLE) {
        None => 0,
        Some(set) if *set == *settings => starts(),
        Some(_) => return,
    };
    if starts >= MOST_STARTS || (starts > 0 && !are_overlooked(&settings)) {
        return;
    }
    let mut arguments = env::args_os();
    let called = arguments.next().unwrap_or_else(|| "fieldgate".into());
    let failed = env::current_exe().map(|program| {
        let mut anew = process::Command::new(program);
        anew.arg0(called).args(arguments);
        anew.env(VARIABLE, &settings);
        anew.env(STARTS, (starts + 1).to_string()).exec()
    });
    // It runs as well without, and takes more time.
    let (Ok(error) | Err(error)) = failed;
    log::warn!("cannot start anew with {VARIABLE}: {error}");
}

/// Without a number the settings are from outside, and are not tried again.
fn starts() -> u32 {
    let starts = env::var(STARTS).ok();
    starts
        .and_then(|starts| starts.parse().ok())
        .unwrap_or(MOST_STARTS)
}

/// Whether the C library should have asked for huge pages and did not.
fn are_overlooked(settings: &str) -> bool {
    let is_asked = |maps: &str| maps.split("[heap]").skip(1).any(is_advised);
    let gives = |who: String| who.contains("[madvise]");
    cfg!(target_env = "gnu")
        && settings.contains(HUGE)
        && fs::read_to_string(WHO_HAS_THEM).is_ok_and(gives)
        && fs::read_to_string("/proc/self/smaps").is_ok_and(|maps| !is_asked(&maps))
}

/// Whether huge pages were asked for a part of memory (`VmFlags` in proc_pid_smaps(5)); `map` begins in its first line.
fn is_advised(map: &str) -> bool {
    let flags = map.lines().find_map(|line| line.strip_prefix("VmFlags:"));
    flags.is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hg"))
}

/// `huge_size` is what the kernel says; `None`: it has no huge pages.
fn settings(huge_size: Option<&str>) -> String {
    let size = huge_size.and_then(|size| size.trim().parse::<u64>().ok());
    match size {
        Some(size) if size <= LARGEST => format!("{ARENA}:{HUGE}"),
        _ => ARENA.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_huge_pages_that_a_small_gateway_fills_are_asked_for() {
        let cases = [
            (Some("2097152\n"), true),
            (Some("1048576\n"), true),
            (Some("33554432\n"), false),
            (Some("536870912\n"), false),
            (Some("a lot"), false),
            (None, false),
        ];
        for (size, is_huge) in cases {
            let settings = settings(size);
            assert!(settings.starts_with(ARENA), "{settings}");
            assert_eq!(settings.contains(HUGE), is_huge, "{size:?}");
        }
    }
}
