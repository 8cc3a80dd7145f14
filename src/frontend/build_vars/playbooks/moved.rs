//! What left ansible-core for a collection. The names are facts of Ansible's own routing table.
use std::collections::HashMap;
use std::sync::LazyLock;

const TABLE: &str = include_str!("moved.txt");

/// By old name: the collection, and the name there.
static MOVED: LazyLock<HashMap<&str, (&str, &str)>> = LazyLock::new(|| {
    let (mut moved, mut collection) = (HashMap::new(), "");
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line;
        if !line.starts_with(' ') {
            (collection, words) = line.split_once(": ").expect("a collection, a colon and names");
        }
        for word in words.split_whitespace() {
            let (old, new) = word.split_once('=').unwrap_or((word, word));
            let new = new.rsplit(':').next().unwrap_or(new);
            moved.insert(old, (collection, new));
        }
    }
    moved
});

/// Of a module, `filter:…` or `lookup:…`: the collection that has it, and its name there.
pub(super) fn to(name: &str) -> Option<(&'static str, &'static str)> {
    MOVED.get(name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_collections_and_names() {
        assert_eq!(to("docker_container"), Some(("community.docker", "docker_container")));
        assert_eq!(to("docker"), Some(("community.docker", "docker_container")));
        assert_eq!(to("os_server"), Some(("openstack.cloud", "server")));
        assert_eq!(to("filter:json_query"), Some(("community.general", "json_query")));
        assert_eq!(to("authorized_key"), Some(("ansible.posix", "authorized_key")));
        assert_eq!((to("copy"), to("apt"), to("ansible.posix")), (None, None, None));
        assert!(MOVED.len() > 3000);
        assert!(
            MOVED
                .values()
                .all(|(collection, name)| collection.split('.').count() == 2 && !name.is_empty())
        );
    }
}
