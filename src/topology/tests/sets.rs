//! Sets of CPUs, on random ones.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::CpuSet;

#[test]
fn lists_that_make_no_sense_are_refused() {
    for text in ["x", "3-1", "1-", "-", "0,99999999999", "32768", "0-32768", "1 2"] {
        let error = text.parse::<CpuSet>().expect_err(text);
        assert!(error.to_string().contains(text), "{error}");
    }
    assert_eq!("32767".parse::<CpuSet>().map(|set| set.len()), Ok(1));
    assert_eq!(" 0 - 3 , 8,\n".parse::<CpuSet>().map(|set| set.to_string()), Ok("0-3,8".to_owned()));
    assert_eq!("".parse::<CpuSet>(), Ok(CpuSet::new()));
}

#[test]
fn masks_are_read_in_all_the_forms_kernels_write() {
    let set = |text| CpuSet::from_mask(text).map(|set| set.to_string());
    assert_eq!(set("fffff").as_deref(), Some("0-19"));
    assert_eq!(set("00000000,0000000f").as_deref(), Some("0-3"));
    assert_eq!(set("0000,80000000,00000001\n").as_deref(), Some("0,63"));
    assert_eq!(set("1,00000000").as_deref(), Some("32"));
    assert_eq!(set("0x8000000000000001").as_deref(), Some("0,63"));
    assert_eq!(set("0").as_deref(), Some(""));
    for text in ["", ",", "g", "1,,1", "100000000,00000000", "-1"] {
        assert_eq!(set(text), None, "{text}");
    }
    let long = ["1", &",00000000".repeat(1023)].concat();
    assert_eq!(set(&long).as_deref(), Some("32736"));
    assert_eq!(set(&["1", &",00000000".repeat(1024)].concat()), None);
}

#[test]
#[should_panic(expected = "CPU 32768: at most 32768 are supported")]
fn a_number_that_is_too_high_panics() {
    CpuSet::new().insert(CpuSet::MAX);
}

proptest! {
    #[test]
    fn sets_are_as_those_of_the_standard_library(
        one in prop::collection::btree_set(0_usize..300, 0..60),
        other in prop::collection::btree_set(0_usize..500, 0..60),
        cpu in 0_usize..300,
    ) {
        let set = |cpus: &BTreeSet<usize>| cpus.iter().copied().collect::<CpuSet>();
        let (a, b) = (set(&one), set(&other));
        prop_assert_eq!(a.to_string().parse::<CpuSet>(), Ok(a.clone()));
        prop_assert!(a.iter().eq(one.iter().copied()));
        prop_assert_eq!((a.len(), a.is_empty(), a.first()), (one.len(), one.is_empty(), one.first().copied()));
        prop_assert_eq!(a.contains(cpu), one.contains(&cpu));
        prop_assert_eq!(a.union(&b), set(&one.union(&other).copied().collect()));
        prop_assert_eq!(a.intersection(&b), set(&one.intersection(&other).copied().collect()));
        prop_assert_eq!(a.difference(&b), set(&one.difference(&other).copied().collect()));
        prop_assert_eq!(a.is_subset(&b), one.is_subset(&other));
        prop_assert!(a.intersection(&b).is_subset(&b));
        let (mut less, mut fewer) = (a, one);
        less.remove(cpu);
        fewer.remove(&cpu);
        prop_assert_eq!(less, set(&fewer));
    }
}
