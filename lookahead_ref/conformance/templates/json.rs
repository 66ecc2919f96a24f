//! JSON, read: strings are not unescaped, for no name or bit string needs it.

pub enum Json<'a> {
    Object(Vec<(&'a str, Json<'a>)>),
    Array(Vec<Json<'a>>),
    /// A string, a number or a word, as it stands there.
    Text(&'a str),
}

impl<'a> Json<'a> {
    pub fn parse(text: &'a str) -> Json<'a> {
        let mut rest = text;
        read(&mut rest)
    }

    pub fn get(&self, key: &str) -> Option<&Json<'a>> {
        match self {
            Json::Object(items) => items.iter().find(|(name, _)| *name == key).map(|(_, v)| v),
            _ => None,
        }
    }

    pub fn list(&self) -> &[Json<'a>] {
        match self {
            Json::Array(items) => items,
            _ => &[],
        }
    }

    pub fn text(&self) -> &'a str {
        match self {
            Json::Text(text) => text,
            _ => "",
        }
    }

    pub fn is_null(&self) -> bool {
        self.text() == "null"
    }
}

impl<'a> std::ops::Index<&str> for Json<'a> {
    type Output = Json<'a>;

    fn index(&self, key: &str) -> &Json<'a> {
        self.get(key).unwrap_or_else(|| panic!("there is no {key}"))
    }
}

fn read<'a>(rest: &mut &'a str) -> Json<'a> {
    *rest = rest.trim_start();
    match rest.chars().next() {
        Some('{') => {
            let mut items = Vec::new();
            while more(rest, '}') {
                let Json::Text(key) = read(rest) else { panic!("a name must be a string") };
                skip(rest, ':');
                items.push((key, read(rest)));
            }
            Json::Object(items)
        }
        Some('[') => {
            let mut items = Vec::new();
            while more(rest, ']') {
                items.push(read(rest));
            }
            Json::Array(items)
        }
        Some('"') => {
            let mut escaped = false;
            let end = rest[1..]
                .find(|c| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                })
                .expect("a string must end");
            let text = &rest[1..=end];
            *rest = &rest[end + 2..];
            Json::Text(text)
        }
        _ => {
            let end = rest.find([',', ']', '}']).unwrap_or(rest.len());
            let text = rest[..end].trim_end();
            *rest = &rest[end..];
            Json::Text(text)
        }
    }
}

fn skip(rest: &mut &str, mark: char) {
    *rest = rest.trim_start().strip_prefix(mark).unwrap_or_else(|| panic!("{mark} is missing"));
}

/// Pass over the opening bracket or a comma; false, and past it, at the closing bracket.
fn more(rest: &mut &str, close: char) -> bool {
    let text = rest.trim_start();
    let inside = text.strip_prefix(['{', '[', ',']).unwrap_or(text).trim_start();
    let ended = text.strip_prefix(close).or_else(|| inside.strip_prefix(close));
    *rest = ended.unwrap_or(inside);
    ended.is_none()
}
