//! Where in a text an object stands, by which it is known what it should look like.

/// A place in a text, as a hash of the members and lists around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot(u32);

impl Spot {
    /// The outermost value.
    pub(super) const ROOT: Self = Self(1);

    /// The value of member `number` of the object here.
    #[inline]
    pub(super) fn member(self, number: usize) -> Self {
        self.mix(number as u32 + 2)
    }

    /// The items of the list here.
    #[inline]
    pub(super) fn item(self) -> Self {
        self.mix(1)
    }

    /// The object here whose text goes on with `start`, the beginning of its first key.
    #[inline]
    pub(super) fn object(self, start: &[u8]) -> Self {
        match start {
            [one, two, ..] => self.mix(u32::from_le_bytes([*one, *two, 1, 0])),
            _ => self,
        }
    }

    /// What stands for it among the shapes: never 0.
    #[inline]
    pub(super) fn tag(self) -> u32 {
        self.0 ^ (self.0 >> 15) | 1 << 31
    }

    #[inline]
    fn mix(self, step: u32) -> Self {
        Self((self.0 ^ step).wrapping_mul(0x9E37_79B1).rotate_left(13))
    }
}
