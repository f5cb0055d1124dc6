// Writes small PNGs: a page's screenshot has millions of colours of which 256 say
// as much.
import { crc32, deflateSync } from 'node:zlib';

// palettePNG makes one PNG of pictures (PNGs in base64), one below the other. The
// page decodes them.
export async function palettePNG(page, pictures) {
  const { width, height, palette, pixels } = await page.evaluate(async (sources) => {
    const images = await Promise.all(sources.map(async (s) => createImageBitmap(await (await fetch(`data:image/png;base64,${s}`)).blob())));
    const width = Math.max(...images.map((i) => i.width)), height = images.reduce((sum, i) => sum + i.height, 0);
    const context = new OffscreenCanvas(width, height).getContext('2d');
    images.reduce((y, i) => { context.drawImage(i, 0, y); return y + i.height; }, 0);
    const { data } = context.getImageData(0, 0, width, height);
    const counts = new Map();
    for (let i = 0; i < data.length; i += 4) {
      const key = (data[i] << 16) | (data[i + 1] << 8) | data[i + 2];
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    // The commonest colour of each cell of 32 × 32 × 32, and of these the
    // commonest 256.
    const cells = new Map(), cell = (c) => ((c >> 19) & 31) << 10 | ((c >> 11) & 31) << 5 | ((c >> 3) & 31);
    for (const [c, n] of [...counts].sort((a, b) => b[1] - a[1])) {
      const one = cells.get(cell(c)) ?? { c, n: 0 };
      one.n += n;
      cells.set(cell(c), one);
    }
    const palette = [...cells.values()].sort((a, b) => b.n - a.n).slice(0, 256).map((one) => one.c);
    const nearest = new Map();
    const index = (c) => {
      if (!nearest.has(c)) {
        const far = (p) => ((p >> 16) - (c >> 16)) ** 2 + (((p >> 8) & 255) - ((c >> 8) & 255)) ** 2 + ((p & 255) - (c & 255)) ** 2;
        nearest.set(c, palette.reduce((best, p, i) => (far(p) < far(palette[best]) ? i : best), 0));
      }
      return nearest.get(c);
    };
    const pixels = Array.from({ length: width * height }, (_, i) => index((data[4 * i] << 16) | (data[4 * i + 1] << 8) | data[4 * i + 2]));
    return { width, height, palette, pixels };
  }, pictures);
  const rows = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y++) rows.set(pixels.slice(y * width, (y + 1) * width), y * (width + 1) + 1);
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 3, 0, 0, 0], 8); // 8 bits, palette
  const colours = Buffer.from(palette.flatMap((c) => [c >> 16, (c >> 8) & 255, c & 255]));
  return Buffer.concat([Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]), chunk('IHDR', head), chunk('PLTE', colours), chunk('IDAT', deflateSync(rows, { level: 9 })), chunk('IEND', Buffer.alloc(0))]);
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type), data]), size = Buffer.alloc(4), sum = Buffer.alloc(4);
  size.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([size, body, sum]);
}
