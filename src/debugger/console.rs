//! [`Console`]: what a session tells its client, gathered until the run stops.

use std::cell::{Cell, RefCell};

/// How long a value is shown until the client asks for more.
const USUAL_LENGTH: usize = 256;
/// Bytes of lines that wait at most: a script that runs on could gather any number.
const MOST_WAITING: usize = 16 << 20;

/// The lines for the client, and what the Lua API asks of the session. Both are reached from within natives,
/// while the session itself waits.
pub struct Console {
    lines: RefCell<Vec<Vec<u8>>>,
    waiting: Cell<usize>,
    left_out: Cell<usize>,
    length: Cell<usize>,
    is_hinted: Cell<bool>,
    /// The run stops at the next line, and what it calls meanwhile is shown.
    pub(super) steps: Cell<bool>,
    /// The script asked to be stopped.
    pub(super) is_asked: Cell<bool>,
    /// The line the run is at.
    pub(super) line: Cell<i64>,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            lines: RefCell::default(),
            waiting: Cell::new(0),
            left_out: Cell::new(0),
            length: Cell::new(USUAL_LENGTH),
            is_hinted: Cell::new(false),
            steps: Cell::new(true),
            is_asked: Cell::new(false),
            line: Cell::new(0),
        }
    }
}

impl Console {
    /// Adds a line.
    pub fn log(&self, line: impl Into<Vec<u8>>) {
        let line = line.into();
        let waiting = self.waiting.get() + line.len();
        if waiting > MOST_WAITING {
            self.left_out.set(self.left_out.get() + 1);
            return;
        }
        self.waiting.set(waiting);
        self.lines.borrow_mut().push(line);
    }

    /// Adds a line that shows a value, cut to the length the client wants.
    ///
    /// Stock: `eval.c` `ldbLogWithMaxLen`.
    pub(super) fn log_cut(&self, mut line: Vec<u8>) {
        let length = self.length.get();
        let is_cut = length != 0 && line.len() > length;
        if is_cut {
            line.truncate(length);
            line.extend_from_slice(b" ...");
        }
        self.log(line);
        if is_cut && !self.is_hinted.replace(true) {
            self.log("<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming.");
        }
    }

    /// Sets the length of values, 0 for any; the client knows how from then on.
    pub(super) fn set_length(&self, length: usize) {
        self.is_hinted.set(true);
        self.length.set(length);
    }

    /// The length of values, 0 for any.
    pub(super) fn length(&self) -> usize {
        self.length.get()
    }

    /// Takes the lines as an array of statuses.
    ///
    /// Stock: `eval.c` `ldbSendLogs`.
    pub(super) fn take(&self) -> Vec<u8> {
        let left_out = self.left_out.take();
        let mut lines = self.lines.take();
        self.waiting.set(0);
        if left_out > 0 {
            lines.push(format!("<hint> {left_out} more lines were left out.").into_bytes());
        }
        let mut frame = format!("*{}\r\n", lines.len()).into_bytes();
        for line in lines {
            let blank = |byte: u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte };
            frame.push(b'+');
            frame.extend(line.into_iter().map(blank));
            frame.extend_from_slice(b"\r\n");
        }
        frame
    }

    /// Whether what the run calls is to be shown.
    pub fn shows_calls(&self) -> bool {
        self.steps.get()
    }

    /// Has what the run calls shown, or not.
    pub fn show_calls(&self, shown: bool) {
        self.steps.set(shown);
    }

    /// The script called `redis.breakpoint`.
    pub fn stop_at_next_line(&self) {
        self.is_asked.set(true);
    }

    /// The script called `redis.debug` with values that read so.
    pub fn log_debug(&self, values: &[u8]) {
        let mut line = format!("<debug> line {}: ", self.line.get()).into_bytes();
        line.extend_from_slice(values);
        self.log(line);
    }

    /// An error object is made, and its message reads so.
    pub fn log_error(&self, message: &[u8]) {
        if self.shows_calls() {
            self.log([b"<error> ", message].concat());
        }
    }

    /// A command is about to be called; `tag` is what the server calls it.
    ///
    /// Stock: `script_lua.c` `luaRedisGenericCommand`.
    pub fn log_call(&self, tag: &[u8], argv: &[&[u8]]) {
        const SHOWN: usize = 10;
        let mut line = tag.to_vec();
        for word in argv.iter().take(SHOWN) {
            line.push(b' ');
            line.extend_from_slice(word);
        }
        if argv.len() > SHOWN {
            let more = argv.len() - SHOWN - 1;
            line.extend_from_slice(format!(" ... ({more} more)").as_bytes());
        }
        self.log(line);
    }

    /// A command that was called gave this raw reply.
    pub fn log_reply(&self, proto: &[u8]) {
        let mut line = b"<reply> ".to_vec();
        super::reply::push(&mut line, proto, self.most());
        self.log_cut(line);
    }

    /// How many bytes of a value are worth showing.
    fn most(&self) -> usize {
        if self.length.get() == 0 { MOST_WAITING } else { self.length.get() + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_out_as_statuses_without_line_breaks() {
        let console = Console::default();
        console.log("a\r\nb");
        console.log("");
        assert_eq!(console.take(), b"*2\r\n+a  b\r\n+\r\n");
        assert_eq!(console.take(), b"*0\r\n");
    }

    #[test]
    fn long_values_are_cut_and_the_client_is_told_once_how_to_see_them() {
        let console = Console::default();
        console.log_cut(vec![b'x'; 256]);
        console.log_cut(vec![b'x'; 257]);
        console.log_cut(vec![b'x'; 300]);
        let long = format!("+{} ...\r\n", "x".repeat(256));
        let hint = "+<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming.\r\n";
        let expected = format!("*4\r\n+{}\r\n{long}{hint}{long}", "x".repeat(256));
        assert_eq!(console.take(), expected.as_bytes());
        console.set_length(0);
        console.log_cut(vec![b'x'; 300]);
        assert_eq!(console.take().len(), 4 + 1 + 300 + 2);
    }

    #[test]
    fn a_script_cannot_gather_lines_without_end() {
        let console = Console::default();
        for _ in 0..20 {
            console.log(vec![b'x'; 1 << 20]);
        }
        let frame = console.take();
        assert!(frame.len() < MOST_WAITING + 4096);
        assert!(frame.ends_with(b"+<hint> 4 more lines were left out.\r\n"));
    }

    #[test]
    fn calls_are_shown_with_their_first_words() {
        let console = Console::default();
        let words: Vec<&[u8]> = vec![b"w"; 13];
        console.log_call(b"<redis>", &words);
        assert_eq!(console.take(), b"*1\r\n+<redis> w w w w w w w w w w ... (2 more)\r\n");
    }
}
