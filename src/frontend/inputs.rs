//! The files of a definition and their digests. Builds of equal digests had equal definitions.
use crate::model::inputs::InputFile;
use crate::model::inputs::Inputs;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::build_vars::links;
use super::of;
use crate::model::definition::Definition;
use crate::system::reading;

/// All files of a definition, sorted by path: those of its directory except `target` (build output)
/// and `.git`, and those beside its main file if `bundle.path` names another directory. The error
/// names the path.
pub fn files(bundle: &Definition) -> Result<Vec<InputFile>, (PathBuf, io::Error)> {
    let mut files = below(&bundle.dir)?;
    let bundle_dir = bundle.dir.canonicalize().unwrap_or_else(|_| bundle.dir.clone());
    let own = bundle.tree.join(&bundle.label);
    // Paths of the directory's own files have no label before them, so these two never meet.
    if own.join(of(&own).file()).is_file() && own.canonicalize().is_ok_and(|own| own != bundle_dir)
    {
        let own = below(&own)?.into_iter();
        files.extend(
            own.map(|file| InputFile { path: Path::new(&bundle.label).join(file.path), ..file }),
        );
    }
    for path in links::brought_in(&bundle.tree, &bundle.dir).files {
        let (sha256, mode) = read(&path).map_err(|e| (path.clone(), e))?;
        files.push(InputFile { path: relative(&bundle_dir, &path), sha256, mode });
    }
    files.sort_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
    Ok(files)
}

/// Paths in the tree that links of a definition lead to.
pub fn linked(bundle: &Definition) -> Vec<PathBuf> {
    links::brought_in(&bundle.tree, &bundle.dir).places
}

/// `../../shared/f`: `path` relative to `dir`.
fn relative(dir: &Path, path: &Path) -> PathBuf {
    let up = dir.ancestors().take_while(|above| !path.starts_with(above)).count();
    let common = dir.ancestors().nth(up).unwrap_or(dir);
    let ups = std::iter::repeat_n("..", up).collect::<PathBuf>();
    ups.join(path.strip_prefix(common).unwrap_or(path))
}

fn read(path: &Path) -> io::Result<(String, char)> {
    if path.is_symlink() {
        let target = std::fs::read_link(path)?;
        return Ok((hex(&Sha256::digest(target.as_os_str().as_encoded_bytes())), 'l'));
    }
    let file = reading::open(path)?;
    let mode = if file.metadata()?.permissions().mode() & 0o111 == 0 { '-' } else { 'x' };
    Ok((digest(file)?, mode))
}

fn below(dir: &Path) -> Result<Vec<InputFile>, (PathBuf, io::Error)> {
    let left_out = |e: &walkdir::DirEntry| {
        e.file_name() == ".git" || e.depth() == 1 && e.file_name() == "target"
    };
    let mut files = Vec::new();
    for entry in
        walkdir::WalkDir::new(dir).into_iter().filter_entry(|e| e.depth() == 0 || !left_out(e))
    {
        let entry = entry.map_err(|e| {
            let path = e.path().unwrap_or(dir).to_path_buf();
            (path, e.into_io_error().unwrap_or_else(|| io::Error::other("a loop of links")))
        })?;
        let path = entry.path().strip_prefix(dir).unwrap_or(entry.path()).to_path_buf();
        if entry.file_type().is_file() || entry.path_is_symlink() {
            let (sha256, mode) = read(entry.path()).map_err(|e| (entry.path().to_path_buf(), e))?;
            files.push(InputFile { path, sha256, mode });
        }
    }
    Ok(files)
}

/// The files of a definition and their digest. Excludes values of `--set`.
pub fn inputs(bundle: &Definition) -> Result<Inputs, (PathBuf, io::Error)> {
    let files = files(bundle)?;
    let mut all = Sha256::new();
    for file in &files {
        let path = file.path.as_os_str().as_bytes();
        let broken = path.contains(&b'\n');
        all.update(format!("{}{} {} ./", if broken { "\\" } else { "" }, file.sha256, file.mode));
        for byte in path {
            match byte {
                b'\n' => all.update(b"\\n"),
                b'\\' if broken => all.update(b"\\\\"),
                byte => all.update([*byte]),
            }
        }
        all.update(b"\n");
    }
    Ok(Inputs { sha256: hex(&all.finalize()), files })
}

/// Changes with every write to a file of the definition, also if the write is reverted. Detects
/// writes during a read.
pub fn stamp(bundle: &Definition) -> String {
    let own = [bundle.dir.clone(), bundle.tree.join(&bundle.label)];
    stamp_of(own.into_iter().chain(linked(bundle)))
}

/// [`stamp`] of everything below `places`, following links. Unreadable entries count as absent.
pub fn stamp_of(places: impl IntoIterator<Item = PathBuf>) -> String {
    let mut all = Sha256::new();
    for place in places {
        for entry in walkdir::WalkDir::new(&place)
            .follow_links(true)
            .sort_by_file_name()
            .into_iter()
            .flatten()
        {
            let Ok(meta) = entry.metadata() else { continue };
            let path = entry.path().as_os_str().as_bytes();
            all.update(path.len().to_le_bytes());
            all.update(path);
            let times = [
                meta.mtime(),
                meta.mtime_nsec(),
                meta.ctime(),
                meta.ctime_nsec(),
                meta.size() as i64,
                meta.ino() as i64,
            ];
            // A directory's own times are ignored: reading some changes them, and its entries show
            // every change.
            let kept = if meta.is_dir() { &[] } else { &times[..] };
            kept.iter().for_each(|number| all.update(number.to_le_bytes()));
        }
    }
    hex(&all.finalize())
}

fn digest(mut file: File) -> io::Result<String> {
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const VARS: &str = "bundle: {name: x, img_base: b}\n";

    fn tree() -> (tempfile::TempDir, Definition) {
        let tree = tempfile::tempdir().unwrap();
        let dir = tree.path().join("images/x");
        fs::create_dir_all(dir.join("ansible")).unwrap();
        fs::write(dir.join("build-vars.yml"), VARS).unwrap();
        fs::write(dir.join("ansible/bootstrap.yml"), "- hosts: local\n").unwrap();
        let bundle = crate::frontend::load(tree.path(), &dir).unwrap().bundle;
        (tree, bundle)
    }

    #[test]
    fn whatever_a_definition_says_is_in_its_digest() {
        let (_tree, bundle) = tree();
        let file = |name: &str| bundle.dir.join(name);
        let mut seen = vec![inputs(&bundle).unwrap().sha256];
        assert_eq!(seen[0].len(), 64);
        let mut differs = |what: &str| {
            let now = inputs(&bundle).unwrap().sha256;
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        fs::write(file("ansible/bootstrap.yml"), "- hosts: all\n").unwrap();
        differs("content");
        fs::set_permissions(file("ansible/bootstrap.yml"), fs::Permissions::from_mode(0o755))
            .unwrap();
        differs("mode");
        fs::rename(file("ansible/bootstrap.yml"), file("ansible/other.yml")).unwrap();
        differs("name");
        std::os::unix::fs::symlink("other.yml", file("ansible/bootstrap.yml")).unwrap();
        differs("link");
        fs::write(file("build-vars.yml"), format!("{VARS}\n")).unwrap();
        differs("settings");
        fs::write(file("empty"), "").unwrap();
        differs("an empty file");
        // What a list leads to is not counted, and so the list's every word is.
        for version in ["1.0.0", "1.0.1"] {
            fs::write(
                file("ansible/requirements.yml"),
                format!("collections: [{{name: a.b, version: {version}}}]\n"),
            )
            .unwrap();
            differs("a list of requirements");
        }
    }

    /// A role that several definitions share, behind a link: changed, and the digest stayed as it
    /// was.
    #[test]
    fn what_a_link_brings_in_counts() {
        let (tree, bundle) = tree();
        let shared = tree.path().join("shared/roles");
        fs::create_dir_all(shared.join("web/tasks")).unwrap();
        fs::write(shared.join("web/tasks/main.yml"), "- ping:\n").unwrap();
        let plain = files(&bundle).unwrap();
        std::os::unix::fs::symlink("../../../shared/roles", bundle.dir.join("ansible/roles"))
            .unwrap();
        let linked = files(&bundle).unwrap();
        let added: Vec<_> = linked
            .iter()
            .filter(|f| !plain.contains(f))
            .map(|f| (f.path.to_str().unwrap(), f.mode))
            .collect();
        assert_eq!(added, [("../../shared/roles/web/tasks/main.yml", '-'), ("ansible/roles", 'l')]);
        let mut seen = vec![inputs(&bundle).unwrap().sha256];
        let mut differs = |what: &str| {
            let now = inputs(&bundle).unwrap().sha256;
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        fs::write(shared.join("web/tasks/main.yml"), "- reboot:\n").unwrap();
        differs("a file behind a link to a directory");
        fs::create_dir(tree.path().join("more")).unwrap();
        fs::write(tree.path().join("more/f"), "1").unwrap();
        std::os::unix::fs::symlink("../../more", shared.join("more")).unwrap();
        differs("a link behind a link");
        fs::write(tree.path().join("more/f"), "2").unwrap();
        differs("what that one leads to");
        std::os::unix::fs::symlink("..", tree.path().join("more/loop")).unwrap();
        std::os::unix::fs::symlink("loop2", tree.path().join("more/loop2")).unwrap();
        differs("loops of links end");
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "1").unwrap();
        std::os::unix::fs::symlink(outside.path(), bundle.dir.join("out")).unwrap();
        let before = files(&bundle).unwrap();
        fs::write(outside.path().join("secret"), "2").unwrap();
        assert_eq!(files(&bundle).unwrap(), before, "what lies outside is not read");
    }

    #[test]
    fn what_is_no_part_of_a_definition_is_not() {
        let (_tree, bundle) = tree();
        let before = inputs(&bundle).unwrap().sha256;
        for dir in ["target/runs", ".git", "emptydir"] {
            fs::create_dir_all(bundle.dir.join(dir)).unwrap();
        }
        fs::write(bundle.dir.join("target/runs/log"), "x").unwrap();
        fs::write(bundle.dir.join(".git/HEAD"), "x").unwrap();
        fs::set_permissions(bundle.dir.join("build-vars.yml"), fs::Permissions::from_mode(0o600))
            .unwrap();
        assert_eq!(inputs(&bundle).unwrap().sha256, before);
        fs::create_dir_all(bundle.dir.join("files/target")).unwrap();
        fs::write(bundle.dir.join("files/target/x"), "x").unwrap();
        assert_ne!(
            inputs(&bundle).unwrap().sha256,
            before,
            "a directory of that name further down is the bundle's"
        );
    }

    /// A name with the end of a line in it once read like two files.
    #[test]
    fn no_name_reads_like_other_files() {
        let (_tree, bundle) = tree();
        fs::write(bundle.dir.join("a"), "1").unwrap();
        fs::write(bundle.dir.join("b"), "2").unwrap();
        let two = inputs(&bundle).unwrap().sha256;
        let of_b =
            files(&bundle).unwrap().into_iter().find(|f| f.path == Path::new("b")).unwrap().sha256;
        fs::remove_file(bundle.dir.join("b")).unwrap();
        fs::create_dir_all(bundle.dir.join(format!("a\n{of_b} - ."))).unwrap();
        fs::rename(bundle.dir.join("a"), bundle.dir.join(format!("a\n{of_b} - ./b"))).unwrap();
        assert_ne!(inputs(&bundle).unwrap().sha256, two);
        let (_tree, bundle) = tree_with(&[b"\xff".as_slice(), b"x\\2d".as_slice()]);
        let first = inputs(&bundle).unwrap().sha256;
        let (_tree, bundle) = tree_with(&[b"\xfe".as_slice(), b"x\\2d".as_slice()]);
        assert_ne!(inputs(&bundle).unwrap().sha256, first, "what is no text is told apart, too");
    }

    fn tree_with(names: &[&[u8]]) -> (tempfile::TempDir, Definition) {
        let (tree, bundle) = tree();
        for name in names {
            fs::write(bundle.dir.join(std::ffi::OsStr::from_bytes(name)), "").unwrap();
        }
        (tree, bundle)
    }

    #[test]
    fn a_stamp_tells_what_was_taken_back() {
        let (_tree, bundle) = tree();
        let before = stamp(&bundle);
        assert_eq!(stamp(&bundle), before);
        let file = bundle.dir.join("ansible/bootstrap.yml");
        let text = fs::read(&file).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(&file, "- hosts: all\n").unwrap();
        fs::write(&file, text).unwrap();
        assert_ne!(stamp(&bundle), before);
    }

    #[test]
    fn settings_that_lie_elsewhere_count() {
        let (tree, _) = tree();
        let dir = tree.path().join("images/y");
        fs::create_dir_all(&dir).unwrap();
        let vars = "bundle: {name: y, img_base: b, path: images/x}\n";
        fs::write(dir.join("build-vars.yml"), vars).unwrap();
        let bundle = crate::frontend::load(tree.path(), &dir).unwrap().bundle;
        let before = inputs(&bundle).unwrap().sha256;
        fs::write(dir.join("build-vars.yml"), format!("{vars}# more\n")).unwrap();
        let after = inputs(&bundle).unwrap().sha256;
        assert_ne!(after, before);
        fs::write(dir.join("beside.yml"), "").unwrap();
        assert_ne!(
            inputs(&bundle).unwrap().sha256,
            after,
            "what lies beside the settings is shown to playbooks, too"
        );
    }
}
