//! Images that are hidden, held or deprecated, and families that mean no image.
use super::*;

/// A bundle that publishes hidden has as many images as any other. What its family's name means
/// stays, though newer ones are hidden.
#[test]
fn images_that_their_definition_hides_count() {
    let hides = |id: &str, at: i64| {
        with(Image { hidden: true, ..image(id, "f", at, Active) }, image::PUBLISHED_HIDDEN, "true")
    };
    let images = [hides("a", 1), hides("b", 2), hides("c", 3)];
    assert_eq!(fates(&images, 1, false, &[]), expect(&[("c", Keep), ("b", Hide), ("a", Hide)]));
    assert_eq!(fates(&images, 2, true, &[]), expect(&[("c", Keep), ("b", Keep), ("a", Delete)]));
    assert_eq!(
        (latest(&images, "f", true).unwrap().id.as_str(), latest(&images, "f", false)),
        ("c", None)
    );
    let mixed =
        [image("a", "f", 1, Active), hides("b", 2), image("x", "f", 3, Deprecated), hides("c", 4)];
    assert_eq!(
        fates(&mixed, 1, false, &[]),
        expect(&[("c", Keep), ("x", Keep), ("b", Hide), ("a", Keep)])
    );
    // What a prune has hidden is brought back as it was published.
    let (pruned, now) = (hidden(hides("b", 2)), "2026-11-21T10:00:00Z".parse().unwrap());
    assert!(
        pruned.brought_back(now).hidden
            && !hidden(image("b", "f", 2, Active)).brought_back(now).hidden
    );
}

/// It was hidden by the next build, and deleted by the one after.
#[test]
fn what_a_person_brought_back_is_held_until_a_person_lets_go() {
    let now = "2026-11-21T10:00:00Z".parse().unwrap();
    let mut back = hidden(image("a", "f", 1, Active));
    let lifecycle = back.brought_back(now);
    back.stand(&lifecycle);
    assert!(back.is_held() && back.standing() == lifecycle);
    assert_eq!(back.brought_back("2027-01-01T00:00:00Z".parse().unwrap()), lifecycle, "as it is");
    let newer = [image("b", "f", 2, Active), image("c", "f", 3, Active)];
    let of = |back: &Image| [vec![back.clone()], newer.to_vec()].concat();
    for at_once in [false, true] {
        let told = fates(&of(&back), 1, at_once, &[]);
        assert_eq!(told[2], ("a".to_owned(), Retain));
    }
    let let_go = back.standing().deprecated();
    back.stand(&let_go);
    assert!(!back.is_held() && !back.properties.contains_key(image::HELD_AT));
    assert_eq!(fates(&of(&back), 1, false, &[])[2].1, Hide);
}

#[test]
fn what_is_published_and_not_current_is_told() {
    let images = [
        image("a", "f", 1, Active),
        image("b", "f", 2, Active),
        Image { hidden: true, ..image("c", "f", 3, Active) },
        image("d", "f", 4, Deprecated),
    ];
    assert_eq!(not_current(&images, &images[1]), None);
    for (at, why) in [(0, "published after it"), (2, "it is hidden"), (3, "deprecated since")] {
        let told = not_current(&images, &images[at]).unwrap();
        assert!(told.contains(why) && told.contains("`f` means f-2 (b)"), "{told}");
    }
    let told = not_current(&images[2..], &images[0]).unwrap();
    assert!(told.contains("not there any more") && told.contains("means no image"), "{told}");
}

#[test]
fn a_family_without_a_current_image_has_a_stand_in() {
    let images = [image("a", "f", 1, Deprecated), image("b", "g", 2, Active)];
    let found = |wanted: &str| is_stand_in(&images, find(&images, wanted)[0], wanted);
    assert!(found("f") && !found("f-1") && !found("a") && !found("g"));
}

/// The source's publisher has another file under the same address.
#[test]
fn another_checksum_of_the_source_is_a_reason_to_build() {
    let made = with(image("k", "kid", 3, Active), image::SOURCE, "sha512:aa");
    let now = |source: Option<&str>| CurrentInputs {
        source: source.map(Into::into),
        ..CurrentInputs::default()
    };
    assert_eq!(stale(&made, &now(Some("sha512:aa"))), [""; 0]);
    assert_eq!(stale(&made, &now(None)), [""; 0]);
    assert_eq!(
        stale(&made, &now(Some("sha512:bb"))),
        ["its source is another file now, sha512:bb"]
    );
    assert_eq!(stale(&without(made, image::SOURCE), &now(Some("sha512:bb"))), [""; 0]);
}

/// Where the one image was deprecated, the nightly rebuild brought it back.
#[test]
fn what_was_rolled_back_is_not_repeated_where_no_other_is_current() {
    let of = |id: &str, at: i64, inputs: &str| {
        with(image(id, "kid", at, Deprecated), image::INPUTS, inputs)
    };
    let now = |source: &str| CurrentInputs {
        inputs: Some("d2".into()),
        source: Some(source.into()),
        ..CurrentInputs::default()
    };
    let images = [of("a", 1, "d1"), with(of("b", 2, "d2"), image::SOURCE, "sha512:aa")];
    assert_eq!(rolled_back(&images, "kid", None, &now("sha512:aa")).unwrap().id, "b");
    assert_eq!(rolled_back(&images, "kid", None, &now("sha512:bb")), None, "of another source");
    // A person went back to an older definition, whose image a prune has hidden long since.
    let images = [hidden(of("a", 1, "d2")), of("b", 2, "d1")];
    assert_eq!(rolled_back(&images, "kid", None, &now("sha512:aa")), None);
}

/// What an image that is held, or the newest of a bundle that hides, was built from.
#[test]
fn the_base_of_an_image_in_use_is_not_deleted() {
    let base = hidden(image("a", "f", 1, Active));
    let newest = image("b", "f", 2, Active);
    let of = |kid: Image| {
        fates(
            &[base.clone(), newest.clone(), child(kid, &base), image("k9", "kid", 9, Active)],
            1,
            false,
            &[],
        )[1]
        .1
    };
    assert_eq!(of(image("k1", "kid", 5, Active)), Delete, "of one that is old");
    assert_eq!(
        of(with(image("k1", "kid", 5, Active), image::HELD_AT, "2026-11-20T10:00:00Z")),
        Retain
    );
    assert_eq!(of(Image { hidden: true, ..image("k1", "kid", 10, Active) }), Retain);
    assert_eq!(of(Image { hidden: true, ..image("k1", "kid", 5, Active) }), Delete);
}
