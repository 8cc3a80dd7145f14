//! Images that carry a family's properties and are not of it.
use super::*;

fn copy(of: &Image, id: &str, created: i64) -> Image {
    Image { id: id.into(), created: jiff::Timestamp::from_second(created).unwrap(), ..of.clone() }
}

/// Nova, Cinder and people copy properties: none of that is of the family.
#[test]
fn what_carries_a_familys_properties_is_not_of_it() {
    let real = image("a", "f", 1, Active);
    let strange = [
        copy(&real, "b", 9),
        with(copy(&real, "b", 9), "image_type", "snapshot"),
        with(with(copy(&real, "b", 9), image::IMAGE_ID, "b"), "base_image_ref", "a"),
        with(without(copy(&real, "b", 9), image::IMAGE_ID), "instance_uuid", "s"),
        with(without(copy(&real, "b", 9), image::IMAGE_ID), "owner_specified.openstack.md5", ""),
        with(copy(&real, "b", 9), image::IMAGE_ID, ""),
        Image { stranger: Some("another's".into()), ..image("b", "f", 9, Active) },
    ];
    for other in strange {
        let other = Image { name: "notes".into(), ..other };
        let mut images = vec![real.clone(), other.clone()];
        image::tell_copies(&mut images);
        assert_eq!(current(&images, "f").unwrap().id, "a", "{other:?}");
        assert_eq!(before(&images, "f"), None, "{other:?}");
        assert_eq!(fates(&images, 1, true, &[]), expect(&[("a", Keep)]), "{other:?}");
        assert_eq!(find(&images, "notes"), Vec::<&Image>::new(), "{other:?}");
        assert_eq!(find(&images, "b").len(), 1, "{other:?}");
        assert_eq!(
            published_at(&images, "f", "c", jiff::Timestamp::UNIX_EPOCH).as_second(),
            2,
            "{other:?}"
        );
        // Even alone it is not taken for the family, nor where it has its very name.
        for name in ["notes", "f"] {
            let mut alone = vec![real.clone(), Image { name: name.into(), ..other.clone() }];
            alone[0].stand(&crate::model::image::Lifecycle {
                state: Deprecated,
                hidden: false,
                hidden_at: None,
                held_at: None,
            });
            image::tell_copies(&mut alone);
            assert_eq!((current(&alone, "f"), all(&alone)), (None, vec!["f"]), "{other:?}");
            for family in [false, true] {
                let meant = meaning(&alone, "f", family);
                assert!(
                    matches!(&meant, Meaning::Doubtful(one) if one[0].id == "b"),
                    "{other:?}: {meant:?}"
                );
            }
        }
    }
}

/// Of several of one run without a proof, the first is the one that it published.
#[test]
fn a_copy_of_what_has_no_proof_is_told_by_its_run() {
    let first = without(image("a", "f", 1, Active), image::IMAGE_ID);
    let mut images = vec![
        copy(&first, "b", 9),
        first.clone(),
        without(image("c", "f", 5, Active), image::IMAGE_ID),
    ];
    assert_eq!(current(&images, "f").unwrap().id, "b");
    image::tell_copies(&mut images);
    assert_eq!(current(&images, "f").unwrap().id, "c");
    assert!(
        matches!(images[0].provenance(), Provenance::Foreign(why) if why.contains("published image \
            a"))
    );
    // One that has its proof, whenever it was made, is the run's image.
    let mut images = vec![first.clone(), copy(&image("a", "f", 1, Active), "d", 9)];
    images[1].prove(jiff::Timestamp::UNIX_EPOCH);
    image::tell_copies(&mut images);
    assert_eq!(images.iter().map(Image::is_ours).collect::<Vec<_>>(), [false, true]);
    assert!(!images[0].counts());
}

/// A proof outranks age: what has none is current only where nothing has one.
#[test]
fn a_proof_comes_before_age() {
    let legacy = without(image("a", "f", 9, Active), image::IMAGE_ID);
    let images = [legacy.clone(), image("b", "f", 1, Active)];
    assert_eq!(
        (current(&images, "f").unwrap().id.as_str(), before(&images, "f").unwrap().id.as_str()),
        ("b", "a")
    );
    assert_eq!(current(std::slice::from_ref(&legacy), "f").unwrap().id, "a");
    assert_eq!(fates(&images, 2, true, &[]), expect(&[("b", Keep), ("a", Retain)]));
}

#[test]
fn a_family_comes_before_the_exact_name_of_a_stranger() {
    let stranger = |name: &str| {
        let others = Image {
            stranger: Some("it belongs to another project".into()),
            ..image("s", "other", 9, Active)
        };
        Image { name: name.into(), properties: BTreeMap::new(), ..others }
    };
    let mine = |name: &str| Image { stranger: None, ..stranger(name) };
    let meant = |images: &[Image], name: &str, family| match meaning(images, name, family) {
        Meaning::One(image) => image.id.clone(),
        other => format!("{other:?}"),
    };
    for other in [stranger("f"), mine("f")] {
        assert_eq!(meant(&[image("a", "f", 1, Active), other], "f", false), "a");
    }
    // By its own name, or its ID, it is asked for.
    let images = [
        image("a", "f", 1, Active),
        stranger("golden"),
        Image { id: "t".into(), ..stranger("twin") },
    ];
    assert_eq!(
        (meant(&images, "golden", false), meant(&images, "t", false)),
        ("s".into(), "t".into())
    );
    assert_eq!(meaning(&images, "golden", true), Meaning::Nothing);
    assert_eq!(
        meaning(&[stranger("twin"), images[2].clone()], "twin", false),
        Meaning::Several(vec![&stranger("twin"), &images[2]])
    );
    // An image of ours has its exact name before any family.
    let named = Image { name: "f".into(), ..image("n", "g", 1, Active) };
    assert_eq!(meant(&[image("a", "f", 1, Active), named, stranger("f")], "f", false), "n");
    // Another project's public family is listed with its IDs, not taken.
    let public = Image { stranger: Some("another's".into()), ..image("p", "f", 1, Active) };
    assert!(matches!(
        meaning(std::slice::from_ref(&public), "f", false),
        Meaning::Doubtful(one) if one[0].id == "p"
    ));
    assert_eq!(
        meant(std::slice::from_ref(&public), "f-1", false),
        "p",
        "its exact name says enough"
    );
}
