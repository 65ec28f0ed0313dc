"""The Triton functions of `triton_parallel`; none without triton."""

# mypy: disable-error-code="no-untyped-def, import-not-found, import-untyped, untyped-decorator"

import importlib.util

__all__ = ["sums", "sums_adjoint"]

if importlib.util.find_spec("triton") is not None:
    import triton
    import triton.language as tl

    @triton.jit
    def sums(image, whole, part, fine, views, rows, cols, first, length, blocks, BLOCK: tl.constexpr):
        """fine[n, v, m] = Σ_r image[n, r], linear at first + m/2 + whole[v, r] + part[v, r]."""
        pid = tl.program_id(0)
        view = (pid // blocks) % views
        item = (pid // blocks // views).to(tl.int64)
        m = (pid % blocks) * BLOCK + tl.arange(0, BLOCK)
        half = 0.5 * (m % 2).to(tl.float32)
        total = tl.zeros([BLOCK], tl.float32)
        for r in range(rows):
            f = tl.load(part + view * rows + r) + half
            late = f >= 1.0
            f = tl.where(late, f - 1.0, f)
            c = first + m // 2 + tl.load(whole + view * rows + r) + late.to(tl.int32)
            row = image + (item * rows + r) * cols
            left = tl.load(row + c, mask=(c >= 0) & (c < cols), other=0.0)
            right = tl.load(row + c + 1, mask=(c >= -1) & (c < cols - 1), other=0.0)
            total += (1.0 - f) * left + f * right
        tl.store(fine + (item * views + view) * length + m, total, mask=m < length)

    @triton.jit
    def sums_adjoint(fine, whole, part, image, views, rows, cols, first, length, blocks, BLOCK: tl.constexpr):
        """Transpose of `sums`: add to image[n, r, c] the fine[n, v, m] within a pixel of c, by 1 - distance.

        With f the part of the shift, s = 1 where f >= 1/2, e = 2f - s in [0, 1), and m = 2
        (c - first - whole) - s, these are the entries m-2, m-1, m, m+1, at distances 1 - e/2, (1-e)/2, e/2,
        (1+e)/2.
        """
        pid = tl.program_id(0)
        r = (pid // blocks) % rows
        item = (pid // blocks // rows).to(tl.int64)
        c = (pid % blocks) * BLOCK + tl.arange(0, BLOCK)
        total = tl.zeros([BLOCK], tl.float32)
        for view in range(views):
            f = tl.load(part + view * rows + r)
            s = (f >= 0.5).to(tl.int32)
            e = 2.0 * f - s.to(tl.float32)
            m = 2 * (c - first - tl.load(whole + view * rows + r)) - s
            row = fine + (item * views + view) * length
            a = tl.load(row + m - 2, mask=(m >= 2) & (m < length + 2), other=0.0)
            b = tl.load(row + m - 1, mask=(m >= 1) & (m < length + 1), other=0.0)
            d = tl.load(row + m, mask=(m >= 0) & (m < length), other=0.0)
            g = tl.load(row + m + 1, mask=(m >= -1) & (m < length - 1), other=0.0)
            total += 0.5 * (e * a + (1.0 + e) * b + (2.0 - e) * d + (1.0 - e) * g)
        place = image + (item * rows + r) * cols + c
        inside = c < cols
        tl.store(place, tl.load(place, mask=inside, other=0.0) + total, mask=inside)
