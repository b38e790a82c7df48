//! `GODEBUG`: words of the form `key=value`, separated by commas (CONTRIBUTING.md has the table).
//!
//! The text comes from the environment and may be anything, also what another program wants to be told: a word that is not
//! known, or whose value is none, counts for nothing, and never is an error. The first word of a key counts. Times are cut
//! off at a day, so that everybody may reckon with them.

/// What it asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Godebug {
    /// The seed of the scheduler's random source.
    pub(crate) seed: Option<u64>,
    /// Guards as kernels make them that know no advice for it.
    pub(crate) mprotect_guards: bool,
    /// A time slice in µs.
    pub(crate) slice: Option<u64>,
    /// Fences as for kernels without membarrier.
    pub(crate) no_membarrier: bool,
    /// From one round of the scavenger to the next, in ms.
    pub(crate) scavenge: Option<u32>,
    /// From one line about the scheduler to the next, in ms.
    pub(crate) schedtrace: Option<u64>,
    /// More than a line.
    pub(crate) scheddetail: bool,
    /// Rings of goroutines that wait for each other's locks are told of.
    pub(crate) lockcycles: bool,
    /// So many CPUs.
    pub(crate) cpus: Option<usize>,
    /// Where the cgroup's files are looked for.
    pub(crate) cgrouproot: Option<String>,
}

const DAY_MS: u64 = 24 * 3600 * 1000;

impl Godebug {
    /// From the environment.
    pub(crate) fn get() -> Godebug {
        std::env::var("GODEBUG").map_or_else(|_| Godebug::default(), |all| Godebug::parse(&all))
    }

    fn parse(all: &str) -> Godebug {
        let word = |key: &str| all.split(',').find_map(|kv| kv.strip_prefix(key)?.strip_prefix('='));
        let number = |key: &str, most: u64| word(key)?.parse::<u64>().ok().map(|n| n.min(most));
        Godebug {
            seed: number("seed", u64::MAX),
            mprotect_guards: word("stackguard") == Some("mprotect"),
            slice: number("slice", DAY_MS * 1000),
            no_membarrier: word("membarrier") == Some("0"),
            scavenge: number("scavenge", DAY_MS).and_then(|n| u32::try_from(n).ok()),
            schedtrace: number("schedtrace", DAY_MS),
            scheddetail: number("scheddetail", 1) == Some(1),
            lockcycles: number("lockcycles", 1) == Some(1),
            cpus: number("cpus", u64::MAX).and_then(|n| usize::try_from(n).ok()),
            cgrouproot: word("cgrouproot").map(str::to_string),
        }
    }
}

/// The number in `GOMAXPROCS`, where there is one above 0.
pub(crate) fn gomaxprocs(text: &str) -> Option<usize> {
    text.trim().parse().ok().filter(|&n| n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Text that is nearly right, more often than not.
    fn near() -> impl Strategy<Value = String> {
        let key = prop::sample::select(vec![
            "seed",
            "stackguard",
            "slice",
            "membarrier",
            "scavenge",
            "schedtrace",
            "scheddetail",
            "lockcycles",
            "cpus",
            "cgrouproot",
            "",
        ]);
        let value = prop_oneof![
            any::<u64>().prop_map(|n| n.to_string()),
            any::<i64>().prop_map(|n| n.to_string()),
            Just("mprotect".to_string()),
            Just("99999999999999999999999".to_string()),
            any::<String>(),
        ];
        let word = (key, prop::sample::select(vec!["=", "", "==", "= "]), value)
            .prop_map(|(k, e, v)| format!("{k}{e}{v}"));
        prop::collection::vec(prop_oneof![word, any::<String>()], 0..8).prop_map(|words| words.join(","))
    }

    proptest! {
        #[test]
        fn any_text_is_taken_and_times_are_bounded(text in prop_oneof![any::<String>(), near()]) {
            let g = Godebug::parse(&text);
            // What sysmon and others reckon with.
            prop_assert!(g.schedtrace.is_none_or(|ms| ms.checked_mul(1_000_000).is_some()));
            prop_assert!(g.scavenge.is_none_or(|ms| u64::from(ms) <= DAY_MS));
            prop_assert!(g.slice.is_none_or(|us| us.checked_mul(1000).is_some()));
            let procs = gomaxprocs(&text);
            prop_assert!(procs.is_none_or(|n| n > 0 && text.trim().parse() == Ok(n)));
        }

        #[test]
        fn what_is_meant_is_understood_among_other_words(
            (seed, slice, trace) in (any::<u64>(), 0..DAY_MS, 0..DAY_MS),
            cpus in any::<u32>(),
            detail in any::<bool>(),
            others in prop::collection::vec("[f-h][a-z]{0,5}=?[a-z0-9]{0,5}", 0..4),
        ) {
            let mut words = others;
            words.extend([
                format!("seed={seed}"),
                "membarrier=0".to_string(),
                format!("slice={slice}"),
                "stackguard=mprotect".to_string(),
                format!("schedtrace={trace}"),
                format!("scheddetail={}", u8::from(detail)),
                format!("lockcycles={}", u8::from(!detail)),
                format!("cpus={cpus}"),
                "cgrouproot=/a/b=c".to_string(),
                "seed=1".to_string(),
            ]);
            prop_assert_eq!(Godebug::parse(&words.join(",")), Godebug {
                seed: Some(seed),
                mprotect_guards: true,
                slice: Some(slice),
                no_membarrier: true,
                scavenge: None,
                schedtrace: Some(trace),
                scheddetail: detail,
                lockcycles: !detail,
                cpus: Some(cpus as usize),
                cgrouproot: Some("/a/b=c".to_string()),
            });
            prop_assert_eq!(gomaxprocs(&format!(" {cpus}\n")), Some(cpus as usize).filter(|&n| n > 0));
        }
    }
}
