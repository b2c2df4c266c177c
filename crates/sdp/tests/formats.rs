//! Parameters of codecs: those that browsers write, and torn ones.

use columba_sdp::SessionDescription;
use columba_sdp::attributes::Fmtp;
use columba_sdp::formats::*;
use proptest::prelude::*;

/// Parameters that can be read come back from their print.
fn come_back<T: FormatParameters + PartialEq + std::fmt::Debug>(fmtp: &Fmtp) -> Option<T> {
    let read = T::read(Some(fmtp)).ok()?;
    let again = T::read(read.to_fmtp(96).as_ref()).unwrap_or_else(|error| panic!("{read:?}: {error}"));
    assert_eq!(again, read);
    Some(read)
}

/// Reads the parameters as those of a codec; `None` for a codec that has none.
fn read(encoding: &str, fmtp: &Fmtp) -> Option<bool> {
    Some(match encoding.to_ascii_lowercase().as_str() {
        "opus" => come_back::<OpusParameters>(fmtp).is_some(),
        "telephone-event" => come_back::<TelephoneEventParameters>(fmtp).is_some(),
        "vp8" => come_back::<Vp8Parameters>(fmtp).is_some(),
        "vp9" => come_back::<Vp9Parameters>(fmtp).is_some(),
        "av1" => come_back::<Av1Parameters>(fmtp).is_some(),
        "h264" => come_back::<H264Parameters>(fmtp).is_some(),
        "red" => come_back::<RedParameters>(fmtp).is_some(),
        "rtx" => come_back::<RtxParameters>(fmtp).is_some(),
        "flexfec-03" => come_back::<FlexFecParameters>(fmtp).is_some(),
        _ => return None,
    })
}

#[test]
fn parameters_of_all_recorded_descriptions_are_read() {
    let mut count = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "sdp") {
            continue;
        }
        let description: SessionDescription = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        for codec in description.media.iter().flat_map(|section| section.codecs().unwrap()) {
            let Some(fmtp) = &codec.parameters else { continue };
            assert_eq!(read(&codec.map.encoding, fmtp), Some(true), "{}: {codec:?}", path.display());
            count += 1;
        }
    }
    assert!(count > 300, "{count}");
}

proptest! {
    #[test]
    fn torn_parameters_are_an_error_or_come_back(
        encoding in "(opus|telephone-event|vp8|vp9|av1|h264|red|rtx|flexfec-03)",
        parameters in "((apt|profile-level-id|packetization-mode|profile|profile-id|max-fr|stereo|minptime|repair-window)=[0-9a-f]{0,6};?|[0-9/,-]{0,9}){0,4}",
    ) {
        let fmtp = Fmtp { format: "96".to_owned(), parameters };
        prop_assert!(read(&encoding, &fmtp).is_some());
    }

    /// A level is the same after it was written for any profile that can say it.
    #[test]
    fn levels_survive_any_profile(
        profile in prop::sample::select(vec![66_u8, 77, 88, 100, 110]),
        iop in any::<u8>(),
        level in 10_u8..60,
    ) {
        let id = ProfileLevelId { profile_idc: profile, profile_iop: iop, level_idc: 31 };
        for level in [H264Level::new(level), H264Level::level_1b()] {
            prop_assert_eq!(id.at_level(level).level(), level);
        }
    }
}
