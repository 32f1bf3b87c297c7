//! A private apt: another suite, on the machine's own mirror, with lists and state of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::{find_program, output, succeeds};

/// Where Debian's packages are when the machine's apt names no place.
const FALLBACK: &str = "http://deb.debian.org/debian/";

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What apt would do on an empty machine whose only source is one suite.
pub struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// Prepares it in `folder` and fetches the suite's package lists.
    ///
    /// # Errors
    /// There is no apt or no key here, or no mirror answers.
    pub fn new(folder: &Path, suite: &str) -> Result<Self> {
        for program in ["apt-get", "dpkg-deb"] {
            if find_program(program).is_none() {
                bail!("there is no {program} on this machine");
            }
        }
        if !Path::new(KEYRING).is_file() {
            bail!("there is no {KEYRING} (package debian-archive-keyring)");
        }
        let apt = Self { folder: folder.to_owned() };
        for name in ["lists/partial", "cache/archives/partial", "parts"] {
            fs::create_dir_all(folder.join(name))?;
        }
        fs::write(folder.join("status"), "")?;
        fs::write(folder.join("apt.conf"), apt.settings())?;
        let mirrors = mirrors();
        for mirror in &mirrors {
            let source = format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n");
            fs::write(folder.join("sources.list"), source)?;
            // Without the option a mirror that does not answer is a warning.
            if succeeds(apt.get().args(["--error-on=any", "update"])) {
                return Ok(apt);
            }
        }
        bail!("no package lists of {suite} from {}; is there a network?", mirrors.join(" or "))
    }

    /// Everything that installing the packages would bring, themselves included.
    ///
    /// # Errors
    /// The suite does not have them.
    pub fn closure(&self, packages: &[String]) -> Result<Vec<String>> {
        let mut command = self.get();
        command.args(["--simulate", "--no-install-recommends", "install"]).args(packages);
        let plan = output(&mut command).context("the suite does not have it")?;
        Ok(planned(&plan))
    }

    /// Downloads the packages and tells where they are.
    ///
    /// # Errors
    /// One of them cannot be had.
    pub fn download(&self, packages: &[String]) -> Result<Vec<PathBuf>> {
        let folder = self.folder.join("packages");
        fs::create_dir_all(&folder)?;
        let mut command = self.get();
        command.arg("download").args(packages).current_dir(&folder);
        output(&mut command).context("cannot download the packages")?;
        Ok(fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect())
    }

    fn get(&self) -> Command {
        let mut command = Command::new("apt-get");
        command.arg("-qq").env("APT_CONFIG", self.folder.join("apt.conf")).stdin(Stdio::null());
        command
    }

    /// How the machine reaches its mirrors is kept; its sources, pins and hooks are not.
    fn settings(&self) -> String {
        let acquire = ["dump", "--format", "%F \"%v\";%n", "Acquire"];
        let mut text = output(Command::new("apt-config").args(acquire)).unwrap_or_default();
        let folder = self.folder.display();
        for (name, value) in [
            ("Dir::Etc::main", "none"),
            ("Dir::Etc::parts", "parts"),
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::Etc::sourceparts", "parts"),
            ("Dir::Etc::preferences", "none"),
            ("Dir::Etc::preferencesparts", "parts"),
            ("Dir::State", "."),
            ("Dir::State::lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
        ] {
            text.push_str(&format!("{name} \"{folder}/{value}\";\n"));
        }
        text.push_str(
            "Acquire::Languages \"none\";\n\
             Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
             Acquire::http::Timeout \"30\";\n\
             Acquire::https::Timeout \"30\";\n\
             Acquire::Retries \"1\";\n\
             APT::Sandbox::User \"root\";\n",
        );
        text
    }
}

/// The machine's own mirror of Debian, where it has one, and the usual one.
fn mirrors() -> Vec<String> {
    let format = ["indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages"];
    let targets = output(Command::new("apt-get").args(format)).unwrap_or_default();
    let mut mirrors: Vec<String> = own_mirror(&targets).map(str::to_owned).into_iter().collect();
    if !mirrors.iter().any(|mirror| mirror == FALLBACK) {
        mirrors.push(FALLBACK.to_owned());
    }
    mirrors
}

/// The first source that is labelled as Debian's archive. Before its lists were ever fetched a
/// source has no label; the usual name of the folder tells then.
fn own_mirror(targets: &str) -> Option<&str> {
    let mut sources = targets.lines().map(|line| line.split_once(' ').unwrap_or((line, "")));
    let found = sources.find(|(uri, label)| {
        *label == "Debian" || (label.is_empty() && uri.trim_end_matches('/').ends_with("/debian"))
    });
    found.map(|(uri, _)| uri).filter(|uri| !uri.starts_with("cdrom:"))
}

/// The names in the plan of a simulated installation.
fn planned(plan: &str) -> Vec<String> {
    let lines = plan.lines().filter_map(|line| line.strip_prefix("Inst "));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_one_labelled_debian() {
        let targets = "http://other.example/ Other\n\
            http://mirror.example/debian/ Debian\n\
            http://mirror.example/debian-security/ Debian-Security\n";
        assert_eq!(own_mirror(targets), Some("http://mirror.example/debian/"));
        assert_eq!(
            own_mirror("http://fresh.example/debian/ \n"),
            Some("http://fresh.example/debian/")
        );
        assert_eq!(own_mirror("http://fresh.example/ubuntu/ \n"), None);
        assert_eq!(own_mirror(""), None);
    }

    #[test]
    fn a_plan_gives_the_names_of_packages() {
        let plan = "Inst libc6 (2.41-12 Debian:13/stable [amd64]) []\n\
            Inst redis-server (5:8.0.2-3 Debian:13/stable [amd64])\nConf libc6 (2.41-12)\n";
        assert_eq!(planned(plan), ["libc6", "redis-server"]);
    }
}
