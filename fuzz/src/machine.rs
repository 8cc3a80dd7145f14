//! What machines and their disks say.
use image_factory::testing::disk::{self, Format};
use image_factory::testing::engine::console;
use image_factory::testing::log::sentences;
use image_factory::testing::{ansible, guest};

/// A disk that is taken is one that QEMU opens without reading another file, whatever its header
/// says.
pub fn qcow2(data: &[u8]) {
    let path = super::scratch().join("disk");
    std::fs::write(&path, data).unwrap();
    let Ok(found) = super::in_time(|| disk::inspect(&path)) else { return };
    assert!((1..=disk::LARGEST).contains(&found.virtual_size), "{found:?}");
    if found.format != Format::Qcow2 {
        assert_eq!(&data[510..512], [0x55, 0xaa]);
        return;
    }
    let number = |at: usize| u64::from_be_bytes(data[at..at + 8].try_into().unwrap());
    assert_eq!(number(8), 0, "a backing file was overlooked");
    assert_eq!(number(24), found.virtual_size);
    let version = u32::from_be_bytes(data[4..8].try_into().unwrap());
    assert!(
        version == 2 || number(72) & 0b111 == 0,
        "dirty, corrupt or with its data in another file"
    );
    assert!(
        number(40) < data.len() as u64 && number(48) < data.len() as u64,
        "tables behind the end"
    );
}

/// Keys are keys, tails and troubles are short and plain; and none of it takes long however often
/// the text repeats itself.
pub fn console(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    looks_at(&text);
    if !text.is_empty() {
        looks_at(&text.repeat((128 << 10) / text.len() + 1));
    }
}

fn looks_at(text: &str) {
    super::in_time(|| {
        for key in console::host_keys(text) {
            key.to_openssh().expect("a key that was read can be written");
        }
        let tail = console::tail(text, 30);
        assert!(tail.len() <= 30);
        tail.iter().for_each(|line| super::is_plain(line));
        if let Some(why) = console::trouble(text) {
            super::is_plain(&why);
        }
    });
}

/// Where a stream is cut does not change what was said, and nothing of it steers a terminal.
pub fn answers(data: &[u8]) {
    let whole = super::in_time(|| guest::ssh::output_of("0123", &[data]));
    assert!(whole.len() <= data.len());
    let cut = data.first().map_or(0, |b| *b as usize).min(data.len());
    assert_eq!(guest::ssh::output_of("0123", &[&data[..cut], &data[cut..]]), whole, "cut at {cut}");
    let text = String::from_utf8_lossy(&whole).into_owned();
    for line in text.lines() {
        super::is_plain(&sentences::shown(line));
        super::is_plain(&ansible::brief(line));
    }
    let lines: Vec<&str> = text.lines().collect();
    if let Some(failure) = super::in_time(|| ansible::failure(&lines)) {
        super::is_plain(&failure.to_string());
    }
    ansible::matched_no_hosts(&lines);
}
