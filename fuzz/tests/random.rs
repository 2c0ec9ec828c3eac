//! The checks on random bytes, for where libFuzzer cannot be built.

use proptest::prelude::*;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let words: &[&[u8]] = &[
        b"0-3",
        b",",
        b"7",
        b"-",
        b"|",
        b"\n",
        b" ",
        b":",
        b"1:1",
        b"0:2 ",
        b"ask:test ",
        b"batch:0:0 ",
        b"task:3 ",
        b"numa",
        b"package",
        b"core",
        b"pu",
        b"l3",
        b"[numa]",
        b"(memory=1GiB)",
        b"(indexes=",
        b"*",
        b")",
        b"\x01a",
        b"\0\x02aCpus_allowed_list:\t",
        b"\0\x04a",
        b"\0\x03a0::/a",
        b"max 100000",
        b"00000000,0000000f",
    ];
    let word = prop_oneof![4 => prop::sample::select(words).prop_map(<[u8]>::to_vec), 1 => prop::collection::vec(any::<u8>(), 1..4)];
    prop::collection::vec(word, 0..24).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn machines_are_read(bytes in bytes()) { millstream_fuzz::machines(&bytes) }

    #[test]
    fn descriptions_are_read(bytes in bytes()) { millstream_fuzz::descriptions(&bytes) }

    #[test]
    fn sets_are_read(bytes in bytes()) { millstream_fuzz::sets(&bytes) }

    #[test]
    fn schedules_are_read(bytes in bytes()) { millstream_fuzz::schedules(&bytes) }

    #[test]
    fn texts_are_cut_to_records(bytes in bytes()) { millstream_fuzz::records(&bytes) }
}
