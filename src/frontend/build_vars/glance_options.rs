//! `final_glance_options`: options of `glance image-update` and `openstack image set`, as existing
//! bundles use them.
use super::decode::GLANCE_WIDTH;
use super::image::property_trouble;
use super::keys::nearest;
use super::{GlanceOptions, Visibility, bounds};

const OPTIONS: &[&str] = &[
    "--min-disk",
    "--min-ram",
    "--property",
    "--tag",
    "--private",
    "--public",
    "--shared",
    "--community",
    "--visibility",
    "--is-public",
    "--protected",
    "--unprotected",
    "--is-protected",
    "--hidden",
    "--unhidden",
    "--is-hidden",
];
/// Options of these commands that a bundle must not set.
const OURS: &[(&str, &str)] = &[
    ("--name", "the image is named by `bundle_target_name`"),
    ("--id", "Glance gives the image its ID"),
    ("--file", "the factory uploads what it built"),
    ("--disk-format", "the factory uploads qcow2"),
    ("--container-format", "the factory uploads bare images"),
    ("--progress", "see `--progress` of image-factory"),
    ("--volume", "see the key `volume`"),
];

/// Message and hint; the hint may be empty.
pub(super) type Trouble = (String, String);

/// Parses the options, collecting all errors.
pub(super) fn parse(text: &str) -> (GlanceOptions, Vec<Trouble>) {
    let mut reading = Reading { options: GlanceOptions::default(), troubles: Vec::new() };
    match split(text) {
        Ok(words) => reading.all(&words),
        Err(trouble) => reading.trouble(trouble, "the words are split as a shell splits them"),
    }
    (reading.options, reading.troubles)
}

struct Reading {
    options: GlanceOptions,
    troubles: Vec<Trouble>,
}

impl Reading {
    fn trouble(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        self.troubles.push((message.into(), hint.into()));
    }

    fn all(&mut self, words: &[String]) {
        let mut words = words.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            let (option, inline) = match word.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value)),
                _ => (word, None),
            };
            // `--hidden`, `--hidden true` and `--hidden=true` are all in use.
            let truth = |text: &str| match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" => Some(true),
                "false" | "0" | "no" => Some(false),
                _ => None,
            };
            match option {
                "--min-disk" | "--min-ram" | "--property" | "--tag" | "--visibility"
                | "--is-public" => {
                    let value = inline.or_else(|| words.next_if(|next| !next.starts_with("--")));
                    match value {
                        Some(value) => self.valued(option, value, truth(value)),
                        None => self.trouble(format!("`{option}` has no value"), ""),
                    }
                }
                "--protected" | "--is-protected" | "--hidden" | "--is-hidden" => {
                    let value = match inline {
                        Some(text) => truth(text),
                        None => Some(
                            words
                                .next_if(|next| truth(next).is_some())
                                .and_then(truth)
                                .unwrap_or(true),
                        ),
                    };
                    match value {
                        Some(value) => self.flag(option.ends_with("hidden"), value),
                        None => self.trouble(format!("`{word}`: true or false is wanted"), ""),
                    }
                }
                _ if inline.is_some() && OPTIONS.contains(&option) => {
                    self.trouble(format!("`{option}` takes no value"), "")
                }
                "--unprotected" => self.flag(false, false),
                "--unhidden" => self.flag(true, false),
                "--private" => self.visibility(Visibility::Private),
                "--public" => self.visibility(Visibility::Public),
                "--shared" => self.visibility(Visibility::Shared),
                "--community" => self.visibility(Visibility::Community),
                _ => {
                    self.unknown(option);
                    // Its value, if it has one, is not a mistake of its own.
                    if option.starts_with("--") && inline.is_none() {
                        words.next_if(|next| !next.starts_with("--"));
                    }
                }
            }
        }
    }

    fn valued(&mut self, option: &str, value: &str, truth: Option<bool>) {
        match option {
            "--min-disk" | "--min-ram" => self.minimum(option, value),
            "--property" => self.property(value),
            "--tag" if value.is_empty() || value.chars().count() > GLANCE_WIDTH => {
                self.trouble(format!("a tag has 1 to {GLANCE_WIDTH} characters"), "");
            }
            "--tag" => {
                if !self.options.tags.iter().any(|tag| tag == value) {
                    self.options.tags.push(value.to_owned());
                }
            }
            "--is-public" => match truth {
                Some(true) => self.visibility(Visibility::Public),
                Some(false) => self.visibility(Visibility::Private),
                None => self.trouble(format!("`--is-public {value}`: true or false is wanted"), ""),
            },
            _ => match Visibility::from_word(value) {
                Some(visibility) => self.visibility(visibility),
                None => self.trouble(
                    format!(
                        "`--visibility` must be one of {}, not `{value}`",
                        Visibility::WORDS.join(", ")
                    ),
                    "",
                ),
            },
        }
    }

    fn minimum(&mut self, option: &str, value: &str) {
        // Glance keeps both in 32 bits.
        let Some(number) = value.parse::<i32>().ok().and_then(|n| u64::try_from(n).ok()) else {
            let unit = if option == "--min-disk" { "GB" } else { "MB" };
            return self.trouble(
                format!("`{option}` must be a whole number of {unit}, not `{value}`"),
                "",
            );
        };
        if let Some(beyond) = bounds::check(option, number, value) {
            return self.trouble(beyond.message, &beyond.hint);
        }
        let slot = if option == "--min-disk" {
            &mut self.options.min_disk_gib
        } else {
            &mut self.options.min_ram_mib
        };
        if slot.replace(number).is_some_and(|before| before != number) {
            self.trouble(format!("`{option}` is given twice, with different values"), "");
        }
    }

    fn property(&mut self, value: &str) {
        let Some((key, text)) = value.split_once('=') else {
            return self
                .trouble(format!("`--property {value}` has no `=`"), "`--property key=value`");
        };
        if let Some((message, hint)) = property_trouble(key) {
            return self.trouble(message, hint);
        }
        let before = self.options.properties.insert(key.to_owned(), text.to_owned());
        if before.is_some_and(|before| before != text) {
            self.trouble(format!("`--property {key}` is given twice, with different values"), "");
        }
    }

    fn flag(&mut self, hidden: bool, value: bool) {
        let (slot, name) = if hidden {
            (&mut self.options.hidden, "hidden")
        } else {
            (&mut self.options.protected, "protected")
        };
        if slot.replace(value).is_some_and(|before| before != value) {
            self.trouble(
                format!("the options say both that the image is {name} and that it is not"),
                "",
            );
        }
    }

    fn visibility(&mut self, visibility: Visibility) {
        if let Some(before) =
            self.options.visibility.replace(visibility).filter(|before| *before != visibility)
        {
            self.trouble(
                format!("the options say both {} and {}", before.word(), visibility.word()),
                "one visibility only",
            );
        }
    }

    fn unknown(&mut self, option: &str) {
        if let Some((_, why)) = OURS.iter().find(|(name, _)| *name == option) {
            return self.trouble(format!("`{option}` is not a bundle's to set"), *why);
        }
        if !option.starts_with('-') {
            return self.trouble(
                format!("`{option}` is no option"),
                "a value with spaces needs quotes of its own",
            );
        }
        let hint = match nearest(option, OPTIONS.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", OPTIONS.join(" ")),
        };
        self.trouble(format!("unknown option `{option}`"), hint);
    }
}

/// Splits words like a POSIX shell, without expansions.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err("a `'` is never closed".into()),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                            Some(c) => word.extend(['\\', c]),
                            None => return Err("a `\"` is never closed".into()),
                        },
                        Some(c) => word.push(c),
                        None => return Err("a `\"` is never closed".into()),
                    }
                }
            }
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err("a `\\` stands at the end".into()),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_a_shell_does() {
        let words = |text| split(text).unwrap();
        assert_eq!(
            words(r#" a  'b c' "d \"e\" \x" f\ g '' h"i"'j' "#),
            ["a", "b c", "d \"e\" \\x", "f g", "", "hij"]
        );
        assert_eq!(words("a \\\n b"), ["a", "b"]);
        for text in ["'a", "\"a", "\"a\\", "a\\"] {
            assert!(split(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_the_words_of_the_contract() {
        let (options, troubles) = parse(
            "--min-disk 20 --min-ram=512 --property k=v --property 'x=a b=c' --tag t --tag t \
                --public --protected --hidden true",
        );
        assert_eq!(troubles, []);
        assert_eq!((options.min_disk_gib, options.min_ram_mib), (Some(20), Some(512)));
        assert_eq!(
            options.properties.into_iter().collect::<Vec<_>>(),
            [("k".into(), "v".into()), ("x".into(), "a b=c".into())]
        );
        assert_eq!(options.tags, ["t"]);
        assert_eq!(
            (options.visibility, options.protected, options.hidden),
            (Some(Visibility::Public), Some(true), Some(true))
        );
        for (text, visibility) in [
            ("--private", Visibility::Private),
            ("--shared", Visibility::Shared),
            ("--community", Visibility::Community),
        ] {
            assert_eq!(parse(text).0.visibility, Some(visibility));
        }
        let (options, troubles) = parse("--is-public False --is-protected=False --unhidden");
        assert_eq!(
            (options.visibility, options.protected, options.hidden),
            (Some(Visibility::Private), Some(false), Some(false))
        );
        assert_eq!(troubles, []);
        assert_eq!(parse("--hidden --tag a").0.hidden, Some(true));
        assert_eq!(parse(""), (GlanceOptions::default(), vec![]));
    }

    #[test]
    fn says_what_is_wrong_with_a_word() {
        let cases = [
            ("--min-disk", "`--min-disk` has no value"),
            ("--min-disk 20G", "`--min-disk` must be a whole number of GB, not `20G`"),
            ("--min-ram -1", "`--min-ram` must be a whole number of MB, not `-1`"),
            ("--min-ram 9999999999", "`--min-ram` must be a whole number of MB, not `9999999999`"),
            ("--min-disk 1 --min-disk 2", "`--min-disk` is given twice, with different values"),
            ("--property kv", "`--property kv` has no `=`"),
            ("--property os_glance_x=1", "`os_glance_x` is reserved by Glance"),
            ("--property factory_image_id=1", "`factory_image_id` is not a bundle's to set"),
            ("--property Factory_State=active", "`Factory_State` is not a bundle's to set"),
            ("--property image_type=snapshot", "`image_type` is not a bundle's to set"),
            (
                "--property a=1 --property a=2",
                "`--property a` is given twice, with different values",
            ),
            ("--tag ''", "a tag has 1 to 255 characters"),
            ("--public --private", "the options say both public and private"),
            (
                "--protected --unprotected",
                "the options say both that the image is protected and that it is not",
            ),
            ("--hidden=maybe", "`--hidden=maybe`: true or false is wanted"),
            ("--is-public perhaps", "`--is-public perhaps`: true or false is wanted"),
            (
                "--visibility hidden",
                "`--visibility` must be one of private, shared, community, public, not `hidden`",
            ),
            ("--public=yes", "`--public` takes no value"),
            ("--min-dsk 20", "unknown option `--min-dsk`"),
            ("--name x", "`--name` is not a bundle's to set"),
            ("stray", "`stray` is no option"),
            ("--tag 'a", "a `'` is never closed"),
        ];
        for (text, message) in cases {
            let troubles: Vec<String> = parse(text).1.into_iter().map(|t| t.0).collect();
            assert_eq!(troubles, [message], "{text}");
        }
        assert_eq!(parse("--min-dsk 20").1[0].1, "did you mean `--min-disk`?");
        assert_eq!(
            parse("--wat 1 --name x").1.len(),
            2,
            "values of refused options are no findings of their own"
        );
    }
}
