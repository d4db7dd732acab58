package config

// A checker looks at what decoding alone cannot judge: addresses, references, secret files, and keys that must or must not go together.
type checker struct {
	*decoder
	cfg *Config
}

func (c *checker) check(top *mark) {}
