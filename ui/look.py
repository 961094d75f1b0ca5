"""CSS of the page, and JavaScript that lets the user paste pictures."""

CSS = """
.gradio-container { --muted: var(--neutral-500); --meant: color-mix(in srgb, var(--color-accent) 20%, transparent);
  --other: color-mix(in srgb, var(--neutral-500) 13%, transparent); }
.dark .gradio-container, .gradio-container.dark { --muted: var(--neutral-400); --meant: color-mix(in srgb, var(--color-accent) 45%, transparent);
  --other: color-mix(in srgb, var(--neutral-400) 20%, transparent); }
.gradio-container { width: 100% !important; max-width: 1080px !important; margin: 0 auto !important; padding: 48px 28px 72px !important; }
.gradio-container .main { padding: 0 !important; max-width: none !important; width: 100%; }
.html-container { padding: 0 !important; }
.column { gap: 20px !important; }

#title h1 { font-size: 25px; font-weight: 650; letter-spacing: -0.02em; margin: 0; line-height: 1.2; }
#title h1 span { color: var(--muted); font-weight: 400; }
#title p { color: var(--muted); margin: 6px 0 0; font-size: 15px; line-height: 1.5; }

#files { border: 1.5px dashed var(--border-color-primary); border-radius: 14px; background: transparent;
  transition: border-color .15s; }
#files:hover, #files:focus-within { border-color: var(--color-accent); }
#files button { min-height: 0; }
#files .wrap:has(.icon-wrap) { min-height: 0; padding: 0; font-size: 0; gap: 0; color: var(--muted); }
#files .wrap .or { display: none; }
#files .icon-wrap { width: 22px; margin: 0 0 8px; }
#files .wrap:has(.icon-wrap)::after { content: "Drop images here, paste them, or click to choose"; font-size: 15px;
  line-height: 1.4; text-align: center; text-wrap: balance; }
#note p { margin: 0; color: var(--muted); font-size: 14px; }

.results { display: grid; gap: 14px; }
.card { display: grid; grid-template-columns: 220px minmax(0, 1fr); gap: 30px; padding: 20px;
  border: 1px solid var(--border-color-primary); border-radius: 14px; background: var(--background-fill-primary); }
.card figure { margin: 0; min-width: 0; }
.card img { display: block; width: 100%; height: auto; max-height: 240px; object-fit: contain; border-radius: 8px; margin: 0; }
.no-picture { display: grid; place-items: center; height: 72px; border-radius: 8px; color: var(--muted); font-size: 13px;
  background: var(--background-fill-secondary); }
.card figcaption { display: flex; justify-content: space-between; gap: 12px; margin-top: 10px; font-size: 13px;
  line-height: 1.4; color: var(--body-text-color); }
.card figcaption span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.card figcaption small { color: var(--muted); flex: none; font-size: inherit; }
.predictions { display: grid; grid-template-columns: 1fr 1fr; gap: 14px 34px; align-content: start; min-width: 0; }
.predictions section { min-width: 0; }
.predictions header { display: flex; align-items: baseline; justify-content: space-between; gap: 12px; margin-bottom: 12px; }
.predictions h3 { font-size: 14px; font-weight: 600; margin: 0; color: var(--body-text-color); }
.predictions header code { font-family: var(--font-mono); font-size: 12px; background: none; border: 0; padding: 0;
  color: var(--muted); overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.predictions ol { list-style: none; margin: 0; padding: 0; display: grid; gap: 5px; }
.predictions li { position: relative; display: flex; justify-content: space-between; gap: 12px; margin: 0; padding: 5px 10px;
  font-size: 14px; line-height: 20px; color: var(--muted); }
.predictions li span { position: relative; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; color: inherit; }
.predictions li b { position: relative; flex: none; font-weight: 400; font-variant-numeric: tabular-nums; color: inherit; }
.predictions li i { position: absolute; inset: 0 auto 0 0; min-width: 3px; border-radius: 6px; background: var(--other); }
.predictions li.meant, .predictions li.meant b { color: var(--body-text-color); font-weight: 600; }
.predictions li.meant i { background: var(--meant); }
.predictions p { margin: 0; font-size: 14px; line-height: 1.5; color: var(--muted); overflow-wrap: anywhere; }
.predictions p.more { font-size: 13px; margin: 6px 10px 0; }
.predictions p.problem, .predictions p.verdict { padding: 9px 14px; border-radius: 8px; color: var(--body-text-color); }
.predictions > p { grid-column: 1 / -1; }
.predictions p.problem::first-letter { text-transform: uppercase; }
.predictions p.problem { background: color-mix(in srgb, #dc2626 10%, transparent); }
.predictions p.verdict { background: color-mix(in srgb, #d97706 13%, transparent); }
@media (max-width: 720px) {
  .gradio-container { padding: 28px 16px 48px !important; }
  .card { grid-template-columns: 1fr; gap: 18px; padding: 16px; }
  .card img { max-height: 300px; }
  .predictions { grid-template-columns: 1fr; gap: 22px; }
}
"""

PASTE = """
() => document.addEventListener('paste', (event) => {
  const files = event.clipboardData ? [...event.clipboardData.files] : [];
  const input = document.querySelector('#files input[type=file]');
  if (!files.length || !input) return;
  event.preventDefault();
  const basket = new DataTransfer();
  files.forEach((file) => basket.items.add(file));
  input.files = basket.files;
  input.dispatchEvent(new Event('change', { bubbles: true }));
})
"""
