//! The report page: nothing from a build gets into it unescaped.
use super::{HOSTILE, events, image, plan};
use crate::log::sentences::TESTED;
use crate::model::event::{Event, Stamped};
use crate::model::outcome::Outcome;
use crate::report::history::History;
use crate::report::record::Record;
use crate::report::{junit, page};

fn page(fail: bool) -> String {
    let image = image();
    let record = Record::new(&plan(), &events(fail), (!fail).then_some(&image));
    let html = page::html(&record, &History::default());
    // To look at: REPORT_DIR=/tmp cargo test --lib report
    if let Some(dir) = std::env::var_os("REPORT_DIR") {
        std::fs::write(
            std::path::Path::new(&dir)
                .join(format!("report-{}.html", if fail { "failed" } else { "built" })),
            &html,
        )
        .unwrap();
    }
    html
}

#[test]
fn hostile_lines_are_only_text() {
    for html in [page(false), page(true)] {
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(&#x27;x&#x27;)&lt;"), "the line is shown");
        assert!(html.contains("red ") && html.contains("{{ 7 * 7 }}"));
        assert!(
            !html.contains(['\u{1b}', '\u{0}', '\u{7}', '\u{202e}'])
                && !html.contains("[31m")
                && !html.contains("0;title")
        );
        // Self-contained: nothing is fetched, nothing runs.
        assert!(!html.contains("src=") && !html.contains("href=") && !html.contains("url("));
    }
}

#[test]
fn every_text_of_a_build_is_escaped() {
    let mut plan = plan();
    for text in
        [&mut plan.bundle, &mut plan.image_name, &mut plan.cloud, &mut plan.how, &mut plan.run]
    {
        *text = HOSTILE.into();
    }
    plan.steps[0].name = HOSTILE.into();
    plan.commit = Some(HOSTILE.into());
    let mut image = image();
    image.id = HOSTILE.into();
    image.properties.insert(HOSTILE.into(), HOSTILE.into());
    let record = Record::new(&plan, &events(false), Some(&image));
    let html = page::html(&record, &History::default());
    assert!(!html.contains("<script"));
    // Neither page nor JUnit steers a terminal, or turns text around.
    for text in [html, junit::xml(&record).unwrap()] {
        assert_eq!(
            text.chars().find(|c| crate::text::is_hidden(*c) || (c.is_control() && *c != '\n')),
            None
        );
    }
}

#[test]
fn says_what_happened() {
    let (built, failed) = (page(false), page(true));
    assert!(
        built.contains("Built and published")
            && built.contains("0c8e1f7a-3d52-4a7e-9f64-5a2b8d1c6e90")
    );
    assert!(
        failed.contains("Failed in smoke; nothing was published") && failed.contains("Left behind")
    );
    assert!(failed.contains("What went wrong"));
}

/// The page of a run that built nothing said that it had built the image.
#[test]
fn an_image_that_was_there_is_not_said_to_be_built() {
    let event = Event::Finished {
        outcome: Outcome::Unchanged.name().into(),
        seconds: 1.0,
        image: None,
        error: None,
        leaks: Vec::new(),
    };
    let events = [Stamped { at: jiff::Timestamp::UNIX_EPOCH, event }];
    let html = page::html(&Record::new(&plan(), &events, Some(&image())), &History::default());
    assert!(html.contains("✓ Unchanged: a build would make this image again"), "{html}");
    assert!(html.contains("<title>Unchanged: ") && !html.contains("Built and"), "{html}");
}

/// The page of a test that an image had passed was red, or said that it was published.
#[test]
fn a_passed_test_is_said_to_be_one() {
    let event = Event::Finished {
        outcome: TESTED.into(),
        seconds: 1.0,
        image: None,
        error: None,
        leaks: Vec::new(),
    };
    let record = Record::new(&plan(), &[Stamped { at: jiff::Timestamp::UNIX_EPOCH, event }], None);
    let html = page::html(&record, &History::default());
    assert!(html.contains("✓ The image passed its checks"), "{html}");
    assert!(html.contains("<title>Passed: ") && !html.contains("ublished"), "{html}");
}
