"""The style of every page: one column on a phone, contents at the side on a desk, light and dark."""

STYLE = """
:root{color-scheme:light dark;--ink:#151a22;--soft:#566070;--line:#e2e6ec;--card:#f6f7f9;--page:#fff;--accent:#2257c4;
--tint:#dbe6fb;--good:#0d7048;--bad:#b03427;--loss:#d9796d;
--shade:#0d152422}
@media(prefers-color-scheme:dark){:root{--ink:#e7ebf1;--soft:#9da8b7;--line:#2b333e;--card:#181e26;--page:#0f1319;
--accent:#85acff;--tint:#23365c;--good:#63cf9c;--bad:#ff9486;--loss:#b3574b;--shade:#0009}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-padding-top:4rem}
body{margin:0;font:15px/1.6 ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
body{color:var(--ink);background:var(--page)}
main{margin:0 auto;max-width:72rem;min-width:0;padding:1.2rem clamp(1rem,3vw,2rem) 4rem}
h1{font-size:clamp(1.6rem,1.2rem + 1.6vw,2.2rem);line-height:1.2;letter-spacing:-.02em;margin:.4rem 0;
text-wrap:balance}
h2{font-size:1.35rem;line-height:1.3;letter-spacing:-.01em;margin:3.2rem 0 .6rem}
h3{font-size:1.02rem;line-height:1.4;margin:2rem 0 .4rem}
h4{font-size:.87rem;margin:1.2rem 0 .3rem;color:var(--soft);font-weight:600}
h1,h2,h3,h4,p,b,a{overflow-wrap:anywhere}
p{margin:.4rem 0 .9rem;max-width:44rem}
p,.soft{color:var(--soft)}
a{color:var(--accent);text-underline-offset:.2em}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:.2rem}
nav{position:sticky;top:0;z-index:2;display:flex;gap:.2rem;overflow-x:auto;padding:.2rem .6rem;scrollbar-width:none}
nav{background:var(--page);border-bottom:1px solid var(--line)}
nav a{flex:none;padding:.6rem .65rem;color:var(--soft);text-decoration:none;font-size:.92rem;font-weight:500}
nav a:hover{color:var(--ink)}
.facts{display:flex;flex-wrap:wrap;gap:.1rem 1.4rem;color:var(--soft);font-size:.9rem;margin:0 0 1.2rem}
.facts span{overflow-wrap:anywhere}
.scroll{overflow-x:auto;margin:.4rem 0 1rem;background:linear-gradient(to right,var(--page) 40%,transparent) 0 0,
linear-gradient(to left,var(--page) 40%,transparent) 100% 0,linear-gradient(to right,var(--shade),transparent) 0 0,
linear-gradient(to left,var(--shade),transparent) 100% 0;background-repeat:no-repeat;
background-size:2.4rem 100%,2.4rem 100%,.9rem 100%,.9rem 100%;background-attachment:local,local,scroll,scroll}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.93rem}
th,td{padding:.42rem 1.3rem .42rem 0;border-bottom:1px solid var(--line);text-align:left;white-space:nowrap}
th:last-child,td:last-child{padding-right:.2rem}
th{color:var(--soft);font-weight:500;font-size:.84rem;vertical-align:bottom}
tr:last-child td{border-bottom:0}
.n{text-align:right}
td:first-child{font-weight:500}
td svg.bar{width:clamp(4.2rem,16vw,13rem);height:.65rem;display:block}
svg{width:100%;height:auto;display:block}
.bar .whole{fill:var(--line);fill-opacity:.6}.bar .part,.bar .kept{fill:var(--accent)}.bar .lost{fill:var(--loss)}
.bar .upto{fill:var(--tint)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(10.5rem,100%),1fr));gap:.8rem;
margin:1rem 0 1.6rem}
.tile{background:var(--card);border:1px solid var(--line);border-radius:.7rem;padding:.9rem 1.1rem 1rem}
.tile span{display:block;color:var(--soft);font-size:.87rem;line-height:1.45}
.tile b{display:block;font-size:1.9rem;line-height:1.25;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.tile b{margin:.15rem 0;font-weight:650}
.tile.main b{color:var(--accent)}
.yes{color:var(--good)}.no{color:var(--bad)}
.plots{display:grid;align-items:end;grid-template-columns:repeat(auto-fill,minmax(min(15rem,100%),1fr));
gap:1.3rem 1.6rem;
margin:.8rem 0}
figure{margin:0}figcaption{display:flex;justify-content:space-between;gap:.6rem;font-size:.87rem;color:var(--soft);
margin:0 0 .25rem}
figcaption b{white-space:nowrap;color:var(--ink);font-weight:600;font-variant-numeric:tabular-nums}
.rail{position:relative;margin:.8rem 0}
.rail svg{position:absolute;left:0;top:0;width:auto;height:auto;max-width:none}
.rail ol{list-style:none;margin:0;padding:0 0 0 var(--wide)}
.rail li{height:3.6rem;display:grid;grid-template-columns:minmax(0,1fr) auto;column-gap:.9rem;align-content:center}
.rail li+li{border-top:1px solid var(--line)}
.rail li>*{white-space:nowrap;overflow:hidden;text-overflow:ellipsis;line-height:1.45}
.rail li .n{font-variant-numeric:tabular-nums}
.rail li small{color:var(--soft);font-size:.84rem}
.rail li b{font-weight:600}.rail li b a{color:inherit;text-decoration-color:var(--line)}
.way{fill:none;stroke:var(--soft);stroke-opacity:.45;stroke-width:2}.way.checkpoint{stroke:var(--accent);
stroke-opacity:.7}
.stop{fill:var(--page);stroke:var(--soft);stroke-width:2.5}.stop.checkpoint{fill:var(--accent);stroke:var(--accent)}
.key{display:inline-block;width:.7rem;height:.7rem;border-radius:50%;border:2.5px solid var(--soft);
margin-right:.4rem}
.key.checkpoint{border-color:var(--accent);background:var(--accent);border-radius:.15rem}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(20rem,100%),1fr));gap:.8rem;margin:.8rem 0}
.sample{border:1px solid var(--line);border-top:3px solid var(--good);border-radius:.5rem;padding:.7rem .9rem;
min-width:0}
.sample.gone{border-top-color:var(--bad)}
.sample h4{margin:0 0 .3rem;color:var(--good)}.sample.gone h4{color:var(--bad)}
.sample small{color:var(--soft);overflow-wrap:anywhere}
pre,code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.84rem}
pre{background:var(--card);padding:.7rem .8rem;border-radius:.4rem;white-space:pre-wrap;overflow-wrap:anywhere;
margin:.4rem 0}
pre{line-height:1.5;max-height:30rem;overflow:auto}
details{margin:.15rem 0}summary{cursor:pointer;color:var(--soft);padding:.3rem 0;font-size:.93rem;
overflow-wrap:anywhere}
summary:hover{color:var(--ink)}
details[open]>summary{color:var(--ink)}
details details{margin-left:1rem}
.command{display:flex;flex-wrap:wrap;gap:.2rem 1rem;padding:.55rem 0;border-top:1px solid var(--line);
align-items:baseline}
.command code{background:var(--card);padding:.25rem .5rem;border-radius:.3rem;overflow-wrap:anywhere;color:var(--ink)}
.command span{color:var(--soft);font-size:.93rem}
@media(min-width:64rem){
body.long{display:grid;grid-template-columns:13rem minmax(0,1fr);max-width:84rem;margin:0 auto}
body.long main{margin:0;padding-top:1.8rem}html{scroll-padding-top:1.2rem}
nav{flex-direction:column;align-self:start;max-height:100vh;overflow-y:auto;padding:2.2rem .6rem 2rem 1.4rem;border:0}
nav a{padding:.32rem .6rem}
}
@media(max-width:30rem){.tiles{grid-template-columns:1fr 1fr;gap:.6rem}.tile{padding:.7rem .8rem}
.tile b{font-size:1.5rem}
.tile.main{grid-column:1/-1}.tile.main b{font-size:2.2rem}th,td{padding-right:.9rem}nav{gap:0;padding:.1rem .5rem}
nav a{padding:.65rem .42rem;font-size:.87rem}td:first-child{white-space:normal;min-width:7rem}}
@media print{nav{display:none}}
"""
