//! Every decision, on families made by hand.
use super::*;

/// `created` orders them; newest has the largest.
fn image(id: &str, family: &str, created: i64, state: State) -> Image {
    Image {
        state,
        created: jiff::Timestamp::from_second(created).unwrap(),
        checksum: format!("sum-of-{id}"),
        ..Image::of_test(id, &format!("{family}-{created}"), family)
    }
}

fn hidden(mut image: Image) -> Image {
    (image.state, image.hidden) = (State::Deprecated, true);
    image.properties.insert(image::HIDDEN_AT.into(), "2026-11-20T10:00:00Z".into());
    image
}

fn child(mut image: Image, base: &Image) -> Image {
    image.properties.insert(image::BASE.into(), format!("{}@sha512:{}", base.id, base.checksum));
    image
}

fn with(mut image: Image, key: &str, value: &str) -> Image {
    image.properties.insert(key.into(), value.into());
    image
}

fn without(mut image: Image, key: &str) -> Image {
    image.properties.remove(key);
    image
}

fn fates(
    images: &[Image],
    keep: u32,
    at_once: bool,
    uses: &[(&str, &str)],
) -> Vec<(String, PruneAction)> {
    let uses = uses.iter().map(|(id, who)| ((*id).to_owned(), (*who).to_owned())).collect();
    let verdicts = prune(images, "f", Policy { keep, at_once }, &uses);
    assert!(verdicts.iter().all(|v| !v.why.is_empty()), "{verdicts:?}");
    verdicts.into_iter().map(|v| (v.image.id.clone(), v.fate)).collect()
}

fn expect(list: &[(&str, PruneAction)]) -> Vec<(String, PruneAction)> {
    list.iter().map(|(id, fate)| ((*id).to_owned(), *fate)).collect()
}

use PruneAction::{Delete, Hide, Keep, Retain};
use State::{Active, Deprecated, Staged};

mod foreign;
mod hidden;

#[test]
fn the_newest_active_one_is_current() {
    let images = [
        image("a", "f", 1, Active),
        image("c", "f", 3, Active),
        image("b", "f", 2, Active),
        image("d", "f", 4, Deprecated),
        image("e", "f", 5, Staged),
        Image { hidden: true, ..image("g", "f", 6, Active) },
        image("x", "other", 9, Active),
    ];
    assert_eq!(current(&images, "f").unwrap().id, "c");
    assert_eq!(before(&images, "f").unwrap().id, "b");
    assert_eq!(deprecated(&images, "f")[0].id, "d");
    assert_eq!(current(&images, "none"), None);
    assert_eq!(before(&images, "other"), None);
    assert_eq!(all(&images), ["f", "other"]);
}

/// Images of the same second: both sides of a comparison must agree on which is newer.
#[test]
fn of_one_age_the_larger_id_is_newer() {
    let images = [image("b", "f", 1, Active), image("a", "f", 1, Active)];
    assert_eq!(
        (current(&images, "f").unwrap().id.as_str(), before(&images, "f").unwrap().id.as_str()),
        ("b", "a")
    );
}

#[test]
fn an_image_is_found_by_id_then_name_then_family() {
    let images = [
        image("a", "f", 1, Active),
        image("b", "f", 2, Deprecated),
        image("c", "g", 3, Deprecated),
        image("s", "f", 4, Staged),
        Image { name: "twin".into(), ..image("t1", "h", 1, Active) },
        Image { name: "twin".into(), ..image("t2", "h", 2, Active) },
    ];
    let ids =
        |wanted: &str| find(&images, wanted).into_iter().map(|i| i.id.as_str()).collect::<Vec<_>>();
    assert_eq!(ids("b"), ["b"]);
    assert_eq!(ids("f-1"), ["a"]);
    assert_eq!(ids("f"), ["a"], "a family means its current image");
    assert_eq!(ids("g"), ["c"], "or its newest, where none is active");
    assert_eq!(ids("twin"), ["t1", "t2"]);
    assert_eq!(ids("s"), ["s"], "a staged image is found by its ID alone");
    assert_eq!(ids("f-4"), [""; 0]);
}

#[test]
fn what_is_beyond_is_hidden_first_and_deleted_by_a_later_prune() {
    let images = [
        image("a", "f", 1, Active),
        image("b", "f", 2, Active),
        image("c", "f", 3, Active),
        hidden(image("0", "f", 0, Active)),
        image("x", "other", 0, Active),
    ];
    assert_eq!(
        fates(&images, 2, false, &[]),
        expect(&[("c", Keep), ("b", Keep), ("a", Hide), ("0", Delete)])
    );
    assert_eq!(
        fates(&images, 2, true, &[]),
        expect(&[("c", Keep), ("b", Keep), ("a", Delete), ("0", Delete)])
    );
    assert_eq!(
        fates(&images, 9, true, &[]),
        expect(&[("c", Keep), ("b", Keep), ("a", Keep), ("0", Keep)])
    );
}

/// The one image that a family means is never taken away, whatever is asked for.
#[test]
fn the_current_image_always_stays() {
    let images = [image("a", "f", 1, Active)];
    for at_once in [false, true] {
        assert_eq!(fates(&images, 0, at_once, &[]), expect(&[("a", Keep)]));
    }
}

#[test]
fn after_a_rollback_the_bad_one_stays_until_it_is_old() {
    let rolled_back =
        [image("a", "f", 1, Active), image("b", "f", 2, Active), image("c", "f", 3, Deprecated)];
    assert_eq!(
        fates(&rolled_back, 2, false, &[]),
        expect(&[("c", Keep), ("b", Keep), ("a", Keep)])
    );
    assert_eq!(
        fates(&rolled_back, 1, false, &[]),
        expect(&[("c", Keep), ("b", Keep), ("a", Hide)])
    );
    let later = [image("d", "f", 4, Active), image("e", "f", 5, Active)];
    let images: Vec<Image> = rolled_back.into_iter().chain(later).collect();
    assert_eq!(
        fates(&images, 2, false, &[]),
        expect(&[("e", Keep), ("d", Keep), ("c", Hide), ("b", Hide), ("a", Hide)])
    );
}

/// With fewer active images than are to be kept, the hidden ones are what one could go back to.
#[test]
fn nothing_is_deleted_while_there_are_too_few() {
    let images = [
        hidden(image("a", "f", 1, Active)),
        image("b", "f", 2, Active),
        image("c", "f", 3, Deprecated),
    ];
    assert_eq!(fates(&images, 2, true, &[]), expect(&[("c", Keep), ("b", Keep), ("a", Keep)]));
}

#[test]
fn what_is_used_is_hidden_and_not_deleted() {
    let images = [
        image("c", "f", 3, Active),
        image("b", "f", 2, Active),
        hidden(image("a", "f", 1, Active)),
    ];
    let uses = [("a", "server web uses it"), ("b", "volume v uses it"), ("c", "server x uses it")];
    assert_eq!(fates(&images, 1, false, &uses), expect(&[("c", Keep), ("b", Hide), ("a", Retain)]));
    assert_eq!(fates(&images, 1, true, &uses), expect(&[("c", Keep), ("b", Hide), ("a", Retain)]));
    let map = uses.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let verdicts = prune(&images, "f", Policy { keep: 1, at_once: true }, &map);
    assert!(
        verdicts[1].why.contains("volume v") && verdicts[2].why == "server web uses it",
        "{verdicts:?}"
    );
}

#[test]
fn the_base_of_a_current_image_is_not_deleted() {
    let base = hidden(image("a", "f", 1, Active));
    let old = child(image("k1", "kid", 5, Active), &base);
    let images = [base.clone(), image("b", "f", 2, Active), old.clone()];
    assert_eq!(fates(&images, 1, false, &[]), expect(&[("b", Keep), ("a", Retain)]));
    let policy = Policy { keep: 1, at_once: false };
    let told = prune(&images, "f", policy, &Default::default());
    assert_eq!(told[1].why, "kid-5 was built from it, and is current");
    // A younger child of another base took its place.
    let images = [base, images[1].clone(), old, child(image("k2", "kid", 6, Active), &images[1])];
    assert_eq!(fates(&images, 1, false, &[]), expect(&[("b", Keep), ("a", Delete)]));
}

#[test]
fn what_is_protected_or_not_ours_is_spared() {
    let legacy = |id: &str, created| without(image(id, "f", created, Active), image::IMAGE_ID);
    let images = [
        image("z", "f", 9, Active),
        Image { protected: true, ..hidden(image("a", "f", 1, Active)) },
        Image { protected: true, ..image("b", "f", 2, Active) },
        legacy("c", 3),
        Image { hidden: true, state: Deprecated, ..legacy("d", 4) },
        with(image("e", "f", 5, Active), image::HELD_AT, "2026-11-20T10:00:00Z"),
        Image { protected: true, hidden: true, ..image("g", "f", 6, Deprecated) },
        image("s", "f", 7, Staged),
        without(image("t", "f", 10, Active), image::RUN),
        with(image("u", "f", 11, Active), image::IMAGE_ID, "z"),
        with(image("v", "f", 12, Active), "image_type", "snapshot"),
        Image { stranger: Some("another's".into()), ..image("w", "f", 13, Active) },
    ];
    for at_once in [false, true] {
        let told = fates(&images, 1, at_once, &[]);
        assert_eq!(told[0].1, Keep);
        assert_eq!(
            told.len(),
            7,
            "a staged image is its run's alone, and what is not ours is not there: {told:?}"
        );
        assert!(told[1..].iter().all(|(_, fate)| *fate == Retain), "{told:?}");
    }
}

/// All families of up to five images, in every mixture of states: what must never happen does not,
/// and what stays for a reason says it.
#[test]
fn no_mixture_loses_what_must_stay() {
    let kinds: [fn(&str, i64) -> Image; 5] = [
        |id, at| image(id, "f", at, Active),
        |id, at| image(id, "f", at, Deprecated),
        |id, at| hidden(image(id, "f", at, Active)),
        |id, at| Image { protected: true, ..hidden(image(id, "f", at, Active)) },
        |id, at| Image { hidden: true, ..image(id, "f", at, Active) },
    ];
    let ids = ["a", "b", "c", "d", "e"];
    for mixture in 0..5usize.pow(5) {
        let images: Vec<Image> =
            (0..5).map(|n| kinds[mixture / 5usize.pow(n as u32) % 5](ids[n], n as i64)).collect();
        for (keep, at_once) in [(1, false), (1, true), (2, false), (2, true), (3, false)] {
            let verdicts = prune(
                &images,
                "f",
                Policy { keep, at_once },
                &[("b".to_owned(), "server s uses it".to_owned())].into(),
            );
            assert_eq!(verdicts.len(), 5);
            let kept: Vec<&Image> = verdicts
                .iter()
                .filter(|v| v.fate == Keep && v.image.state == Active)
                .map(|v| v.image)
                .collect();
            let actives: Vec<&Image> =
                images.iter().rev().filter(|i| i.state == Active).take(keep as usize).collect();
            assert!(actives.iter().all(|i| kept.contains(i)), "{verdicts:?}");
            let current = current(&images, "f");
            assert!(current.is_none_or(|current| kept.contains(&current)), "{verdicts:?}");
            assert!(kept.len() <= keep as usize + 1, "{verdicts:?}");
            for v in &verdicts {
                let touched = matches!(v.fate, Hide | Delete);
                assert!(!(touched && v.image.protected), "{v:?}");
                assert!(!(v.fate == Delete && v.image.id == "b"), "{v:?}");
                assert!(v.fate != Delete || at_once || v.image.hidden_at().is_some(), "{v:?}");
                assert!(!touched || kept.iter().any(|i| i.age_key() > v.image.age_key()), "{v:?}");
                let used = "server s uses it";
                let due = match v.image.protected {
                    true => "it is protected",
                    false => used,
                };
                assert!(!v.why.is_empty() && (v.fate != Retain || v.why == due), "{v:?}");
                let spared = v.fate == Hide && at_once;
                assert!(!spared || v.why.ends_with(&format!("; not deleted: {used}")), "{v:?}");
            }
        }
    }
}

#[test]
fn a_base_is_resolved_as_a_bundle_means_it() {
    let images =
        [image("a", "f", 1, Active), image("b", "f", 2, Active), image("c", "f", 3, Deprecated)];
    let id = |base: &str, family| resolve(&images, base, family).map(|i| i.id.as_str());
    assert_eq!((id("f", true), id("f", false)), (Some("b"), Some("b")));
    assert_eq!(
        (id("a", false), id("f-1", false), id("f-3", false)),
        (Some("a"), Some("a"), Some("c"))
    );
    assert_eq!((id("f-1", true), id("none", false)), (None, None));
    // A family of which nothing is active has no image to build from.
    let images = [image("c", "f", 3, Deprecated)];
    assert_eq!(resolve(&images, "f", false), None);
    assert_eq!(resolve(&images, "c", false).unwrap().id, "c");
}

#[test]
fn stale_is_what_would_be_built_otherwise_now() {
    let (old, new) = (image("b1", "base", 1, Active), image("b2", "base", 2, Active));
    let made = with(child(image("k", "kid", 3, Active), &old), image::INPUTS, "d1");
    let now = |inputs: Option<&str>, base: Option<&Image>| CurrentInputs {
        inputs: inputs.map(Into::into),
        base: base.cloned(),
        ..CurrentInputs::default()
    };
    assert_eq!(stale(&made, &now(Some("d1"), Some(&old))), [""; 0]);
    assert_eq!(stale(&made, &now(None, None)), [""; 0]);
    assert_eq!(stale(&made, &now(Some("d1"), Some(&new))), ["its base is now base-2"]);
    assert_eq!(
        stale(&made, &now(Some("d2"), Some(&new))),
        ["its base is now base-2", "its definition changed"]
    );
    // Made before digests were kept: nobody knows.
    assert_eq!(stale(&child(image("k", "kid", 3, Active), &old), &now(Some("d2"), None)), [""; 0]);
    let images = [old.clone(), new.clone(), made.clone()];
    assert_eq!(newer_base(&images, &made).unwrap().id, "b2");
    assert_eq!(newer_base(&images, &old), None);
    assert_eq!(
        newer_base(std::slice::from_ref(&made), &made),
        None,
        "a base that is gone has no family"
    );
}

/// Or a nightly rebuild would bring back by morning what was rolled back in the evening.
#[test]
fn what_was_rolled_back_is_not_built_again_from_the_same() {
    let base = image("b1", "base", 1, Active);
    let good = with(child(image("k1", "kid", 3, Active), &base), image::INPUTS, "d1");
    let bad = with(child(image("k2", "kid", 4, Deprecated), &base), image::INPUTS, "d2");
    let images = [base.clone(), good.clone(), bad];
    let now = CurrentInputs {
        inputs: Some("d2".into()),
        base: Some(base.clone()),
        ..CurrentInputs::default()
    };
    assert_eq!(stale(&good, &now), ["its definition changed"]);
    assert_eq!(rolled_back(&images, "kid", Some(&good), &now).unwrap().id, "k2");
    let mended = CurrentInputs { inputs: Some("d3".into()), ..now.clone() };
    assert_eq!(rolled_back(&images, "kid", Some(&good), &mended), None);
    let rebased = CurrentInputs { base: Some(image("b2", "base", 2, Active)), ..now };
    assert_eq!(rolled_back(&images, "kid", Some(&good), &rebased), None);
}

/// A clock that went back, here or at Glance, hides no new image; nor does one that was far ahead
/// for a day.
#[test]
fn each_image_is_published_after_all_that_are_there() {
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    let published = |id: &str, created: i64, when: &str| {
        with(image(id, "f", created, Active), image::PUBLISHED_AT, when)
    };
    let mut images = vec![published("a", 900, "2026-11-20T10:00:00Z")];
    for (id, now, then) in [
        ("b", "2026-11-21T10:00:00.7Z", "2026-11-21T10:00:00Z"),
        ("c", "2001-01-01T00:00:00Z", "2026-11-21T10:00:01Z"),
        ("d", "2899-01-01T00:00:00Z", "2899-01-01T00:00:00Z"),
        ("e", "2026-11-22T10:00:00Z", "2899-01-01T00:00:01Z"),
    ] {
        let when = published_at(&images, "f", id, at(now));
        assert_eq!(when, at(then), "{id}");
        // Glance's clock goes back all the time.
        images.push(published(id, 900 - images.len() as i64, then));
        assert_eq!(
            published_at(&images, "f", id, at("2030-01-01T00:00:00Z")),
            when,
            "one that is published keeps its time"
        );
        assert_eq!(current(&images, "f").unwrap().id, id);
    }
    // A date that nothing could follow, or that is none, is not believed.
    for nonsense in ["9999-12-30T00:00:00Z", "2900-01-01T00:00:00Z", "soon", ""] {
        let images = [published("x", 5, nonsense), published("y", 6, "1970-01-01T00:00:07Z")];
        assert_eq!(current(&images, "f").unwrap().id, "y", "{nonsense}");
        assert_eq!(
            published_at(&images, "f", "z", at("1970-01-01T00:00:00Z")).as_second(),
            8,
            "{nonsense}"
        );
    }
}

/// A clock was beyond 2900 once, and each later build of the family was not current.
#[test]
fn a_clock_that_nobody_believes_does_not_hold_up_the_family() {
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    let of = |id: &str, created: &str, published: jiff::Timestamp| Image {
        created: at(created),
        ..with(image(id, "f", 0, Active), image::PUBLISHED_AT, &published.to_string())
    };
    let mad = "2977-01-01T00:00:00Z";
    assert_eq!(published_at(&[], "f", "a", at(mad)), jiff::Timestamp::UNIX_EPOCH);
    // As such a clock had it written.
    let mut images = vec![of("a", mad, at(mad))];
    for (id, now, then) in [
        ("b", "2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"),
        ("c", mad, "2026-11-20T10:00:01Z"),
        ("d", "2026-11-21T10:00:00Z", "2026-11-21T10:00:00Z"),
    ] {
        let when = published_at(&images, "f", id, at(now));
        assert_eq!(when, at(then), "{id}");
        images.push(of(id, now, when));
        assert_eq!(current(&images, "f").unwrap().id, id);
    }
}

/// One rule for bases and for commands: of one name what lists show comes before what is hidden.
#[test]
fn what_is_shown_comes_before_what_is_hidden_by_its_name() {
    let shown = Image { family: String::new(), ..Image::of_test("s", "old", "web") };
    let hidden = Image { id: "h".into(), hidden: true, ..Image::of_test("h", "old", "web") };
    let both = [hidden.clone(), shown];
    assert!(matches!(meaning(&both, "old", false), Meaning::One(i) if i.id == "s"));
    assert_eq!(find(&both, "old").iter().map(|i| i.id.as_str()).collect::<Vec<_>>(), ["s"]);
    let one = [hidden.clone()];
    assert!(matches!(meaning(&one, "old", false), Meaning::One(i) if i.id == "h"));
    assert_eq!(find(&one, "old").len(), 1);
    let twice = [
        hidden.clone(),
        Image {
            id: "h2".into(),
            properties: Image::of_test("h2", "old", "web").properties,
            ..hidden
        },
    ];
    assert!(
        matches!(meaning(&twice, "old", false), Meaning::Several(_))
            && find(&twice, "old").len() == 2
    );
}

/// "newer than the last one that is kept" was said where none is kept, and of what is older than
/// all.
#[test]
fn why_a_deprecated_image_stays_is_true() {
    let whys = |images: &[Image], keep: u32| -> Vec<String> {
        let verdicts = prune(images, "f", Policy { keep, at_once: false }, &BTreeMap::new());
        assert!(verdicts.iter().all(|v| v.fate == Keep), "{verdicts:?}");
        verdicts.into_iter().map(|v| v.why).collect()
    };
    let none = whys(&[image("a", "f", 1, Deprecated), hidden(image("b", "f", 2, Active))], 1);
    assert!(none[0].starts_with("hidden; ") && none[1].starts_with("deprecated; "), "{none:?}");
    assert!(
        none.iter().all(|why| why.contains("no active image") && !why.contains("newer")),
        "{none:?}"
    );
    let few = whys(
        &[
            image("a", "f", 1, Deprecated),
            image("b", "f", 2, Active),
            image("c", "f", 3, Deprecated),
        ],
        3,
    );
    assert_eq!(few[0], "deprecated, and newer than the last one that is kept");
    assert!(few[2].contains("older than the 1 active of the 3 that are kept"), "{few:?}");
}
