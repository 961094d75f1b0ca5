"""The look of the labelling report: light and dark, from a phone's width up."""

STYLE = """
:root{color-scheme:light dark;--bg:#f6f7f5;--card:#fff;--ink:#17201c;--soft:#5b6963;--line:#e3e8e5;
--accent:#1f7a5c;--band:#cfe6dc;--bar:#8fc7b1;--warn:#a8590a;--warnbg:#fdf3e4;--track:#eef2f0}
@media(prefers-color-scheme:dark){:root{--bg:#0f1312;--card:#181e1c;--ink:#e4ebe8;--soft:#97a69f;
--line:#2a3330;--accent:#5cc9a2;--band:#20443a;--bar:#3a7d67;--warn:#f0b56b;--warnbg:#2c2314;
--track:#222a27}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:28px 20px 56px}
h1{font-size:1.55rem;line-height:1.2;margin:0 0 4px;letter-spacing:-.02em}
h2{font-size:1.02rem;margin:0 0 4px;letter-spacing:-.01em}p{margin:0 0 12px}
.soft,small{color:var(--soft)}small{font-size:.8rem;font-weight:400}a{color:var(--accent)}
header{margin-bottom:22px}header p{margin:0;color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin-bottom:16px}
.tile,section{background:var(--card);border:1px solid var(--line);border-radius:12px}
.tile{padding:14px 16px}.tile b{display:block;font-size:1.6rem;line-height:1.2;font-weight:650;
letter-spacing:-.02em;font-variant-numeric:tabular-nums}.tile span{font-size:.85rem}
.tile small{display:block;line-height:1.35;margin-top:2px}
.grid2{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:16px;margin-bottom:16px}
.grid2>section{margin:0}section{padding:18px 20px;margin-bottom:16px;min-width:0}
section>p:first-of-type{color:var(--soft);font-size:.88rem}
.headline{font-size:1.12rem;font-weight:600;color:var(--ink)!important;margin:6px 0 12px;
line-height:1.35}.headline em{font-style:normal;color:var(--accent)}
.rows{display:grid;gap:9px}.row{display:grid;grid-template-columns:minmax(84px,26%) 1fr minmax(76px,auto);
gap:12px;align-items:center}.gains .row{grid-template-columns:minmax(84px,30%) 1fr minmax(88px,auto)}
.name{overflow-wrap:anywhere;line-height:1.25}
.row small{display:block;line-height:1.25}.value{text-align:right;font-variant-numeric:tabular-nums;
font-weight:600;line-height:1.25}.track{position:relative;height:16px;background:var(--track);
border-radius:4px}.track i{position:absolute;display:block}.bar{inset:0 auto 0 0;background:var(--bar);
border-radius:4px}.whisker{top:7px;height:2px;background:var(--ink);opacity:.65}
.whisker:before,.whisker:after{content:"";position:absolute;top:-3px;height:8px;width:1.5px;
background:inherit}.whisker:before{left:0}.whisker:after{right:0}.thin{background:none}
.zero{top:-5px;bottom:-5px;width:1px;background:var(--soft);opacity:.6}
.range{top:5px;height:6px;border-radius:3px;background:var(--bar)}
.dot{top:2px;width:12px;height:12px;margin-left:-6px;border-radius:50%;background:var(--accent);
border:2px solid var(--card)}
svg{display:block;width:100%;height:auto;max-width:640px;margin:0 auto}
.grid{stroke:var(--line)}.axis{fill:var(--soft);font-size:12px}.band{fill:var(--band)}
.law{fill:none;stroke:var(--accent);stroke-width:2.2}.ahead{stroke-dasharray:5 4}
.seen{fill:var(--soft);opacity:.75}.now{fill:var(--accent);stroke:var(--card);stroke-width:2}
.day{fill:var(--bar)}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-weight:500;color:var(--soft);font-size:.82rem;text-align:right;vertical-align:bottom}
td{text-align:right;border-top:1px solid var(--line)}th,td{padding:7px 0 7px 14px}
th:first-child,td:first-child{text-align:left;padding-left:0}
.wide{overflow-x:auto}.note{background:var(--warnbg);color:var(--warn);border-radius:8px;
padding:8px 12px;font-size:.9rem;margin:0 0 12px}
details{margin-top:12px;font-size:.88rem;color:var(--soft)}summary{cursor:pointer}
details ul{margin:8px 0 0;padding-left:18px}
.empty{max-width:640px}.empty ol{padding-left:20px}.empty li{margin-bottom:8px}
code{font-family:ui-monospace,Consolas,monospace;font-size:.9em}
footer{color:var(--soft);font-size:.82rem}
@media(max-width:760px){.grid2{grid-template-columns:minmax(0,1fr)}main{padding:18px 12px 40px}
section{padding:16px 14px}.tiles{grid-template-columns:repeat(2,minmax(0,1fr));gap:10px}
.tile{padding:12px}.tile b{font-size:1.35rem}th,td{padding-left:10px}.axis{font-size:15px}
.row,.gains .row{grid-template-columns:1fr auto;gap:4px 12px}.name,.value{grid-row:1}
.track{grid-row:2;grid-column:1/3}.rows{gap:13px}}
@media print{body{background:#fff}.tile,section{break-inside:avoid}}
"""
