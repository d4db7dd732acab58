package avc

import "testing"

func TestLevels(t *testing.T) {
	luma := func(levels ...int32) []int32 { return append(levels, make([]int32, 16-len(levels))...) }
	for _, tt := range []struct {
		name  string
		block []int32
		want  string
	}{
		{"nothing", luma(), "1"},
		{"one", luma(1), "01" + "0" + "1"},
		{"minus one after a zero", luma(0, -1), "01" + "1" + "011"},
		{"no trailing one", luma(2), "000101" + "1" + "1"},
		{"minus two", luma(-2), "000101" + "01" + "1"},
		{"escape of four bits", luma(9), "000101" + "000000000000001" + "0000" + "1"},
		{"escape of twelve bits", luma(17), "000101" + "0000000000000001" + "000000000000" + "1"},
		{"largest", luma(816), "000101" + "0000000000000001" + "011000111110" + "1"},
		// The worked example that textbooks on H.264 give: 0, 3, 0, 1, -1, -1, 0, 1, 0, ...
		{"textbook", luma(0, 3, 0, 1, -1, -1, 0, 1), "0000100" + "011" + "1" + "0010" + "111" + "10" + "1" +
			"1" + "01"},
		{"all sixteen", []int32{3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3}, "0000000000000100" +
			// The first has suffixLength 1 and loses 2 from its code; then 2 bits of prefix and 1 of suffix each.
			"010" + "0010" + "0010" + "0010" + "0010" + "0010" + "0010" + "0010" + "0010" + "0010" + "0010" + "0010" +
			"0010" + "0010" + "0010" + "0010"},
		{"chroma nothing", []int32{0, 0, 0, 0}, "01"},
		{"chroma one", []int32{1, 0, 0, 0}, "1" + "0" + "1"},
		{"chroma last", []int32{0, 0, 0, -1}, "1" + "1" + "000"},
		{"chroma all", []int32{1, 1, 1, 1}, "0000000" + "000" + "1"},
	} {
		if got := written(func(w *writer) { w.levels(tt.block) }); got != tt.want {
			t.Errorf("%s: levels(%v) = %s, want %s", tt.name, tt.block, got, tt.want)
		}
	}
}

// TestTables checks that no code word begins with another one of its table, and that each table is complete where it
// should be.
func TestTables(t *testing.T) {
	check := func(name string, words []code) {
		for i, a := range words {
			for j, b := range words {
				if i != j && a.n <= b.n && b.bits>>(b.n-a.n) == a.bits {
					t.Errorf("%s: %0*b is the beginning of %0*b", name, a.n, a.bits, b.n, b.bits)
				}
			}
		}
	}
	flat := func(rows [][]code) (all []code) {
		for _, row := range rows {
			all = append(all, row...)
		}
		return all
	}
	check("coeffTokenLuma", flat(coeffTokenLuma[:]))
	check("coeffTokenChroma", flat(coeffTokenChroma[:]))
	for i, row := range totalZerosLuma {
		check("totalZerosLuma", row)
		if len(row) != 16-i {
			t.Errorf("totalZerosLuma for %d coefficients has %d words, want %d", i+1, len(row), 16-i)
		}
	}
	for _, row := range totalZerosChroma {
		check("totalZerosChroma", row)
	}
	for _, row := range runBefore {
		check("runBefore", row)
	}
}
